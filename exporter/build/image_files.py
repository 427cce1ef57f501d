"""Files of images: ELF, BIN, Intel HEX, UF2 and ESP images, told apart by what is in them."""

from __future__ import annotations

import io
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import Segment as ElfSegment
from intelhex import AddressOverlapError, HexRecordError, IntelHex, IntelHexError

from exporter.board import Board
from exporter.build import esp_image, uf2
from exporter.build.image import Image, Segment
from exporter.build.size import image_ends
from exporter.errors import BadInput

_ELF_MAGIC = b"\x7fELF"
_BUILD_STEP = "build it anew: nanoexport build DIR"


def read_image(path: Path, board: Board) -> Image:
    """The image in a file, for `board`, whose flash is where a BIN file begins.

    Raises BadInput for a file that is absent, broken or none of these.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(
            "the image cannot be read", value=f"{path}: {error.strerror}", next_step=_BUILD_STEP
        ) from error
    if data.startswith(_ELF_MAGIC):
        return image_of_elf(data)
    if data[:1] == b":":
        return image_of_hex(data)
    if _runs_esp_images(board) and esp_image.is_one(data):
        return esp_image.read(data)
    if data.startswith(uf2.MAGIC):
        family_id = uf2.family_of(board)
        found = uf2.read_uf2(data)
        return (found if family_id is None else found.require_family(family_id)).image
    if path.suffix.lower() == ".bin":
        return image_of_bin(data, board.region("flash").origin)
    raise BadInput(
        f"'{path.name}' is no image",
        value=f"it begins with {data[:4].hex(' ') or 'nothing'}",
        allowed="an ELF file, Intel HEX, UF2, an ESP image, or what is called .bin",
        next_step=_BUILD_STEP,
    )


def image_of_elf(data: bytes) -> Image:
    """What an ELF file stores, at its load (physical) addresses; not what only lives in RAM.

    Between the ends of our own images (`linker_image_start`) gaps are zeros, as the CRC has them
    that the firmware computes over itself. Raises BadInput where it is no such file.
    """
    try:
        file = ELFFile(io.BytesIO(data))
        pieces = [piece for segment in file.iter_segments() for piece in _stored(file, segment)]
        ends = image_ends(file)
        entry = int(file["e_entry"])
    except (ELFError, ValueError, KeyError, UnicodeError) as error:
        raise BadInput("the ELF file is broken", value=error, next_step=_BUILD_STEP) from error
    image = Image.of(pieces, entry)
    inside = image.within(*ends) if ends else ()
    if not ends or not inside:
        return image
    around = (*image.within(0, ends[0]), *image.within(ends[1], 1 << 32))
    own = Segment(inside[0].address, Image(inside).filled(fill=0))
    return Image.of((*around, own), entry)


def _stored(file: ELFFile, segment: ElfSegment) -> list[Segment]:
    """From its first section to its last: linkers let a segment begin with the file's headers."""
    if segment["p_type"] != "PT_LOAD" or not segment["p_filesz"]:
        return []
    start, end = segment["p_offset"], segment["p_offset"] + segment["p_filesz"]
    if len(segment.data()) < segment["p_filesz"]:
        raise ELFError("it is cut off")
    inside = [
        (section["sh_offset"], section["sh_offset"] + section["sh_size"])
        for section in file.iter_sections()
        if section["sh_type"] not in ("SHT_NOBITS", "SHT_NULL")
        and section["sh_size"]
        and start <= section["sh_offset"] < end
    ]
    low = min((first for first, _ in inside), default=start)
    high = min(max((last for _, last in inside), default=end), end)
    return [Segment(segment["p_paddr"] + low - start, segment.data()[low - start : high - start])]


def image_of_bin(data: bytes, origin: int) -> Image:
    """A BIN file, whose first byte is for `origin`. Raises BadInput where it is empty."""
    return Image.of([Segment(origin, data)])


def image_of_hex(data: bytes) -> Image:
    """An Intel HEX file. Raises BadInput where a record is broken or overwrites another."""
    hex_file = IntelHex()
    try:
        hex_file.loadhex(io.StringIO(data.decode("ascii")))
    except AddressOverlapError as error:
        raise BadInput("the HEX file writes an address twice", value=error) from error
    except (HexRecordError, IntelHexError, UnicodeError) as error:
        raise BadInput("the HEX file is broken", value=error, next_step=_BUILD_STEP) from error
    if not data.rstrip().endswith(b":00000001FF"):
        raise BadInput(
            "the HEX file is cut off",
            allowed="a last record :00000001FF",
            next_step=_BUILD_STEP,
        )
    start = hex_file.start_addr or {}
    return Image.of(
        (
            Segment(low, hex_file.tobinstr(start=low, end=high - 1))
            for low, high in hex_file.segments()
        ),
        start.get("EIP"),
    )


def hex_of_image(image: Image) -> str:
    """The text of an Intel HEX file: 16 bytes a record, extended linear addresses."""
    hex_file = IntelHex()
    for segment in image.segments:
        hex_file.puts(segment.address, segment.data)
    if image.entry is not None:
        hex_file.start_addr = {"EIP": image.entry}
    text = io.StringIO()
    hex_file.write_hex_file(text)
    return text.getvalue()


def _runs_esp_images(board: Board) -> bool:
    return any(s.name == "esp_rom" and s.image == "esp" for s in board.flashers)
