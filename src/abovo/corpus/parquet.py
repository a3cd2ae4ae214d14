"""Turn the row groups of a parquet file into records, page by page, so that memory does not grow with a row group."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from abovo.corpus.records import Part, Record, Row, Rules, known
from abovo.errors import AbovoError

# What is decoded at a time: bytes of text, and rows at most.
BATCH_BYTES, BATCH_ROWS = 2_000_000, 1024


def parquet_groups(source: Path | IO[bytes], where: str) -> list[int]:
    """The rows of each row group of a parquet file, from its footer."""
    import pyarrow

    try:
        with _opened(source) as file:
            return [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    except (pyarrow.ArrowException, OSError) as error:
        raise AbovoError(f"cannot be read as parquet ({error})", where, "replace the file") from None


def read_parquet(
    source: Path | IO[bytes], _: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record | Row]:
    """The records of a part of a file; of the columns only that of the text is read where the rules name one."""
    import pyarrow

    number = 0
    try:
        with _opened(source) as file:
            leaves = range(len(file.schema)) if rules.column is None else [_leaf(file, rules.column, where)]
            groups, meta = file.metadata.num_row_groups, file.metadata
            first, end = (groups * k // part.pieces for k in (part.number, part.number + 1))
            number = sum(meta.row_group(group).num_rows for group in range(first))
            begin = number + part.start
            for group in range(first, end):
                rows = meta.row_group(group).num_rows
                if number + rows <= begin:
                    number += rows
                    continue
                size = _announce(source, meta.row_group(group), leaves)
                size = max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(1, size)))
                columns = None if rules.column is None else [rules.column]
                for batch in file.iter_batches(size, [group], columns, use_threads=False):
                    records = _rows if rules.column is None else _texts
                    for record in records(batch, name, number, where, rules):
                        number += 1
                        if number > begin:
                            yield record
    except (pyarrow.ArrowException, OSError) as error:
        what = f"cannot be read as parquet beyond row {number} ({error})"
        raise AbovoError(what, where, "replace the file") from None


def _opened(source: Path | IO[bytes]) -> Any:
    """An open parquet file whose column chunks are read piece by piece, not whole."""
    import pyarrow
    import pyarrow.parquet

    if isinstance(source, Path):
        return pyarrow.parquet.ParquetFile(str(source), buffer_size=1 << 18)
    # A file of the hub is opened for each of its units; its footer is fetched once.
    footers = getattr(source, "footers", {})
    footer = footers.get(source.name)
    file = pyarrow.parquet.ParquetFile(pyarrow.PythonFile(source, mode="r"), metadata=footer, buffer_size=1 << 18)
    footers.clear()
    footers[source.name] = file.metadata
    return file


def _announce(source: Path | IO[bytes], group: Any, leaves: Any) -> int:
    """Bytes that the columns of a row group hold; a file of the hub is told the range of them that comes next."""
    chunks = [group.column(leaf) for leaf in leaves]
    if not isinstance(source, Path) and hasattr(source, "expect"):
        begins = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
        ends = [begin + chunk.total_compressed_size for begin, chunk in zip(begins, chunks, strict=True)]
        source.expect(min(begins), max(ends))
    return sum(chunk.total_uncompressed_size for chunk in chunks)


def _leaf(file: Any, column: str, where: str) -> int:
    """The place of the text column among the leaves of the file. Raises AbovoError where it is not there or no text."""
    import pyarrow

    schema, mend = file.schema_arrow, "set the source's `column`"
    if column not in schema.names:
        raise AbovoError(f"no column {column!r} ({known(schema.names)})", where, mend)
    kind = schema.field(column).type
    plain = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if not (pyarrow.types.is_string(plain) or pyarrow.types.is_large_string(plain) or pyarrow.types.is_null(plain)):
        raise AbovoError(f"column {column!r} holds {kind}, not text", where, mend)
    leaves = [file.schema.column(place).path for place in range(len(file.schema))]
    return leaves.index(column)


def _texts(batch: Any, name: str, before: int, where: str, rules: Rules) -> Iterator[Record | Row]:
    """The texts of one batch; a value that is not UTF-8 is found by taking the batch apart."""
    import pyarrow

    column = batch.column(0)
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pyarrow.large_binary()).to_pylist()
    for number, value in enumerate(values, before + 1):
        key = f"{name}#{number:08d}"
        if value is None:
            yield Record(key, None)
        elif len(value) > rules.largest:
            yield rules.empty(key, "too large", f"{where}, row {number}")
        elif isinstance(value, bytes):
            yield rules.text(key, value, f"{where}, row {number}")
        else:
            yield Record(key, value)


def _rows(batch: Any, name: str, before: int, where: str, rules: Rules) -> Iterator[Record | Row]:
    """The rows of one batch, all columns; one that is not UTF-8 is found by taking them one by one."""
    try:
        found = batch.to_pylist()
    except UnicodeDecodeError:
        found = None
    for number in range(batch.num_rows):
        key, place = f"{name}#{before + number + 1:08d}", f"{where}, row {before + number + 1}"
        try:
            row = found[number] if found is not None else batch.slice(number, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield rules.refuse(key, "not UTF-8", place, f"byte {error.start} of a value")
            continue
        yield rules.row(key, row, place)
