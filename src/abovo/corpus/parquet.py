"""Turn the row groups of a parquet file into records, page by page, so that memory does not grow with a row group."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from abovo.corpus.pages import Chunk, WatchedFile
from abovo.corpus.records import Part, Record, Row, Rules, known
from abovo.errors import AbovoError

# What is decoded at a time: bytes of text, and rows at most.
BATCH_BYTES, BATCH_ROWS = 2_000_000, 1024
# What the library raises besides its own errors where a file is damaged: names that are no text, numbers out of range.
DAMAGE = (OSError, ValueError, OverflowError)
# Pages that are decoded at once may have so many times the bytes of the largest record, or so many bytes. All rows that
# are decoded at a time may name the largest value of a dictionary: then they have EXPANDED bytes at most.
PAGES, LEAST_PAGES, EXPANDED = 16, 64_000_000, 32_000_000


def parquet_groups(source: Path | IO[bytes], where: str) -> list[int]:
    """The rows of each row group of a parquet file, from its footer."""
    import pyarrow

    try:
        with _opened(source, where) as (file, _):
            return [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    except (pyarrow.ArrowException, *DAMAGE) as error:
        raise AbovoError(f"cannot be read as parquet ({error})", where, "replace the file") from None


def read_parquet(
    source: Path | IO[bytes], _: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record | Row]:
    """The records of a part of a file; of the columns only that of the text is read where the rules name one."""
    import pyarrow

    number = 0
    try:
        with _opened(source, where, rules) as (file, watched):
            leaves = range(len(file.schema)) if rules.column is None else [_leaf(file, rules.column, where)]
            groups, meta = file.metadata.num_row_groups, file.metadata
            first, end = (groups * k // part.pieces for k in (part.number, part.number + 1))
            number = sum(meta.row_group(group).num_rows for group in range(first))
            begin = number + part.start
            for group in range(first, end):
                rows = meta.row_group(group).num_rows
                if rows == 0 or number + rows <= begin:
                    number += rows
                    continue
                size = _rows_at_once(source, file, watched, group, leaves)
                columns = None if rules.column is None else [rules.column]
                for batch in file.iter_batches(size, [group], columns, use_threads=False):
                    records = _rows if rules.column is None else _texts
                    for record in records(batch, name, number, where, rules):
                        number += 1
                        if number > begin:
                            yield record
    except (pyarrow.ArrowException, *DAMAGE) as error:
        what = f"cannot be read as parquet beyond row {number} ({error})"
        raise AbovoError(what, where, "replace the file") from None


@contextmanager
def _opened(source: Path | IO[bytes], where: str, rules: Rules | None = None) -> Iterator[tuple[Any, WatchedFile]]:
    """An open parquet file whose column chunks are read piece by piece, not whole, and what its bytes pass through."""
    import pyarrow
    import pyarrow.parquet

    largest, mend = (rules.largest, rules.larger) if rules else (0, "")
    opened: Any = source.open("rb") if isinstance(source, Path) else source
    with WatchedFile(opened, where, max(LEAST_PAGES, PAGES * largest), mend) as watched:
        # A file of the hub is opened for each of its units; its footer is fetched once.
        footers = getattr(source, "footers", {})
        name = str(getattr(source, "name", source))
        whole = pyarrow.PythonFile(watched, mode="r")
        file = pyarrow.parquet.ParquetFile(
            whole, metadata=footers.get(name), buffer_size=1 << 18, pre_buffer=False
        )  # fmt: skip
        footers.clear()
        footers[name] = file.metadata
        yield file, watched


def _rows_at_once(
    source: Path | IO[bytes], file: Any, watched: WatchedFile, number: int, leaves: Sequence[int]
) -> int:  # fmt: skip
    """How many rows of a row group are decoded at a time, by what its columns say and by their dictionaries; a file of
    the hub is told the range of bytes that comes next."""
    group = file.metadata.row_group(number)
    columns, chunks = [group.column(leaf) for leaf in leaves], []
    for leaf, column in zip(leaves, columns, strict=True):
        offsets = (column.dictionary_page_offset, column.data_page_offset)
        begin = min((place for place in offsets if place and place > 0), default=0)
        kept, nested = _is_dictionary(file, leaf), file.schema.column(leaf).max_repetition_level > 0
        chunks.append(Chunk(begin, begin + column.total_compressed_size, kept, nested))
    remote = hasattr(source, "expect")
    if remote:
        source.expect(min(chunk.begin for chunk in chunks), max(chunk.end for chunk in chunks))  # type: ignore[union-attr]
    watched.watch(chunks, all_at_once=remote and len(chunks) > 1)
    size, rows = sum(column.total_uncompressed_size for column in columns), group.num_rows
    largest = sum(
        chunk.dictionary * -(-column.num_values // rows) for chunk, column in zip(chunks, columns, strict=True)
    )
    return max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(1, size), EXPANDED // max(1, largest)))


def _is_dictionary(file: Any, leaf: int) -> bool:
    """Whether a column is one that the library keeps as a dictionary, with all values of a row group."""
    import pyarrow

    name = file.schema.column(leaf).path.partition(".")[0]
    return name in file.schema_arrow.names and pyarrow.types.is_dictionary(file.schema_arrow.field(name).type)


def _leaf(file: Any, column: str, where: str) -> int:
    """The place of the text column among the leaves of the file. Raises AbovoError where it is not there or no text."""
    import pyarrow

    schema, mend = file.schema_arrow, "set the source's `column`"
    if column not in schema.names:
        raise AbovoError(f"no column {column!r} ({known(schema.names)})", where, mend)
    kind = schema.field(column).type
    plain, types = kind.value_type if pyarrow.types.is_dictionary(kind) else kind, pyarrow.types
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    bytes_of_texts = (types.is_binary, types.is_large_binary, types.is_binary_view)
    if not any(holds(plain) for holds in (*texts, *bytes_of_texts, types.is_null)):
        raise AbovoError(f"column {column!r} holds {kind}, not text", where, mend)
    leaves = [file.schema.column(place).path for place in range(len(file.schema))]
    return leaves.index(column)


def _texts(batch: Any, name: str, before: int, where: str, rules: Rules) -> Iterator[Record | Row]:
    """The texts of one batch; a value that is not UTF-8 is found by taking the batch apart."""
    column = batch.column(0)
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = [_bytes(value) for value in column]
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


def _bytes(value: Any) -> bytes | None:
    """The bytes of a value of a column of texts, whatever they are."""
    if not value.is_valid:
        return None
    return getattr(value, "value", value).as_buffer().to_pybytes()


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
