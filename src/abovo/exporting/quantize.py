"""Turn a tensor into the bytes that a form of GGUF keeps it in: whole, half, or in blocks of few bits.

Blocks of 8 bits are those of the gguf package; those of 4 and 6 bits are made by llama.cpp's own code, where the
library that holds it lets one call it.
"""

import ctypes
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

# Names of gguf.GGMLQuantizationType; numbers of blocks of a row have to come out whole.
BLOCK = {"Q4_K": 256, "Q6_K": 256, "Q8_0": 32, "Q5_0": 32}
# What llama.cpp takes where the blocks of a type do not divide a row.
INSTEAD = {"Q4_K": "Q5_0", "Q6_K": "Q8_0", "Q8_0": "F16", "Q5_0": "F16"}


@dataclass(frozen=True)
class Form:
    """`file_type` is llama.cpp's number of the whole file, `matrices` the type of most of its matrices."""

    file_type: int
    matrices: str


FORMS = {"f32": Form(0, "F32"), "f16": Form(1, "F16"), "q8_0": Form(7, "Q8_0"), "q4_k_m": Form(15, "Q4_K")}


@dataclass(frozen=True)
class Quantized:
    """The bytes of a tensor and their type, as gguf numbers it."""

    data: np.ndarray
    type: Any


def can_quantize(form: str) -> bool:
    """Whether the libraries that are installed can make the blocks of a form."""
    return form != "q4_k_m" or _library() is not None


def quantize(values: np.ndarray, place: str, form: str, layers: int) -> Quantized:
    """A tensor [rows, columns] or [columns] in float32 as the type that `form` gives the tensor of this place."""
    import gguf

    name = _type(values, place, form, layers)
    kind = getattr(gguf.GGMLQuantizationType, name)
    if name.endswith("_K"):
        return Quantized(_blocks(values, kind), kind)
    return Quantized(gguf.quants.quantize(np.ascontiguousarray(values), kind), kind)


def _type(values: np.ndarray, place: str, form: str, layers: int) -> str:
    """Norms stay whole. Q4_K_M gives more bits to the output, and to values and what comes down in some layers."""
    wanted = FORMS[form].matrices if values.ndim > 1 else "F32"
    if wanted == "Q4_K" and _weighs_more(place, layers):
        wanted = "Q6_K"
    while values.shape[-1] % BLOCK.get(wanted, 1):
        wanted = INSTEAD[wanted]
    return wanted


def _weighs_more(place: str, layers: int) -> bool:
    """What llama.cpp's recipe Q4_K_M keeps in 6 bits."""
    if place in ("output.weight", "token_embd.weight"):
        return True
    if not place.endswith(("attn_v.weight", "ffn_down.weight")):
        return False
    layer = int(place.split(".")[1])
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _blocks(values: np.ndarray, kind: Any) -> np.ndarray:
    import gguf

    library = _library()
    assert library is not None, "a form is only asked for where can_quantize says so"
    rows, width = values.shape
    size, bytes_each = gguf.GGML_QUANT_SIZES[kind]
    made = np.zeros((rows, width // size * bytes_each), np.uint8)
    source = np.ascontiguousarray(values, np.float32)
    library.ggml_quantize_chunk(int(kind), source.ctypes.data, made.ctypes.data, 0, rows, width, None)
    return made


@functools.cache
def _library() -> Any:
    """llama.cpp's quantizer inside xllamacpp; None where that is not installed or hides it."""
    try:
        import xllamacpp

        library = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
        function = library.ggml_quantize_chunk
    except (ImportError, OSError, AttributeError):
        return None
    whole = ctypes.c_int64
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, whole, whole, whole, ctypes.c_void_p]
    function.restype = ctypes.c_size_t
    return library
