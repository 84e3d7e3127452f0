"""Opening what visitors send: every mode, every file that means harm, and what is said about it."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from zerokit.errors import RequestError
from zerokit.pictures import opening
from zerokit.pictures.opening import MAX_ASPECT, has_transparency, open_picture

SIZE = (40, 24)
RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
PNG = b"\x89PNG\r\n\x1a\n"


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth, colour, pixel, *, size=SIZE, extra=b""):
    """A PNG of one colour, as the specification has it: PIL writes no 16-bit colours."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    data = zlib.compress((b"\0" + pixel * size[0]) * size[1])
    return PNG + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND")


def only(image):
    """The one colour that a picture has."""
    colours = image.getcolors()
    assert len(colours) == 1, colours
    return colours[0][1]


def near(colour, other, by=3):
    return all(abs(a - b) <= by for a, b in zip(colour, other, strict=True))


def refusal(source, **options):
    with pytest.raises(RequestError) as caught:
        open_picture(source, **options)
    assert str(caught.value).endswith("Nothing was charged.")
    return caught.value.message


GREEN_16 = struct.pack(">HHH", 0x8080, 0xFFFF, 0)
SIXTEEN = {
    "grey": (png(16, 0, struct.pack(">H", 0x8080)), (128, 128, 128)),
    "grey, dark": (png(16, 0, struct.pack(">H", 0x0101)), (1, 1, 1)),
    "grey, white": (png(16, 0, b"\xff\xff"), WHITE),
    "grey with a transparent value": (
        png(16, 0, struct.pack(">H", 0x4040), extra=chunk(b"tRNS", struct.pack(">H", 0x4040))),
        WHITE,
    ),
    "RGB": (png(16, 2, GREEN_16), (128, 255, 0)),
    "RGB with a transparent colour": (
        png(16, 2, GREEN_16, extra=chunk(b"tRNS", GREEN_16)),
        WHITE,
    ),
    "grey and alpha": (png(16, 4, struct.pack(">HH", 0x8080, 0xFFFF)), (128, 128, 128)),
    "RGBA": (png(16, 6, struct.pack(">HHHH", 0x8080, 0xFFFF, 0, 0xFFFF)), (128, 255, 0)),
    "RGBA, clear": (png(16, 6, struct.pack(">HHHH", 0x8080, 0xFFFF, 0, 0)), WHITE),
}


@pytest.mark.parametrize("name", SIXTEEN)
def test_16_bits_are_scaled_and_not_clipped(name):
    data, colour = SIXTEEN[name]
    picture = open_picture(data)
    assert (picture.mode, picture.size) == ("RGB", SIZE)
    assert only(picture) == colour


def palette(transparency=None):
    image = Image.new("P", SIZE)
    image.putpalette([*RED, *BLUE])
    options = {} if transparency is None else {"transparency": transparency}
    return saved(image, **options)


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (palette(), RED),
        (palette(0), WHITE),
        (palette(b"\x80\xff"), (255, 127, 127)),
        (saved(Image.new("1", SIZE, 1)), WHITE),
        (saved(Image.new("1", SIZE, 0)), BLACK),
        (saved(Image.new("1", SIZE, 0), transparency=0), WHITE),
        (saved(Image.new("L", SIZE, 90)), (90, 90, 90)),
        (saved(Image.new("L", SIZE, 90), transparency=90), WHITE),
        (saved(Image.new("LA", SIZE, (0, 128))), (127, 127, 127)),
        (saved(Image.new("RGB", SIZE, RED), transparency=RED), WHITE),
        (saved(Image.new("RGBA", SIZE, (*RED, 0))), WHITE),
        (saved(Image.new("RGB", SIZE, RED), "BMP"), RED),
        (saved(Image.new("RGB", SIZE, RED), "PPM"), RED),
        (saved(Image.new("I", SIZE, 0x8080), "PPM"), (128, 128, 128)),
        (saved(Image.new("RGB", SIZE, RED), "TIFF"), RED),
        (saved(Image.new("I;16", SIZE, 0x8080), "TIFF"), (128, 128, 128)),
        (saved(Image.new("F", SIZE, 0.5), "TIFF"), (128, 128, 128)),
        (saved(Image.new("RGBA", SIZE, (*RED, 0)), "WEBP", lossless=True), WHITE),
    ],
)
def test_every_mode_of_a_file_comes_out_right(data, colour):
    picture = open_picture(data)
    assert (picture.mode, picture.size) == ("RGB", SIZE)
    assert near(only(picture), colour, 1)


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("RGB", SIZE, RED), RED),
        (Image.new("CMYK", SIZE, (0, 255, 255, 0)), RED),
        (Image.new("RGB", SIZE, RED).convert("YCbCr"), RED),
        (Image.new("RGB", SIZE, RED).convert("HSV"), RED),
        (Image.new("RGBA", SIZE, (*RED, 128)).convert("RGBa"), (255, 127, 127)),
        (Image.new("LA", SIZE, (255, 128)).convert("La"), WHITE),
        (Image.new("I;16", SIZE, 65535), WHITE),
        (Image.new("I", SIZE, 128), (128, 128, 128)),
        (Image.new("I", SIZE, 0x8080), (128, 128, 128)),
        (Image.new("F", SIZE, 1.0), WHITE),
        (Image.new("F", SIZE, 128.0), (128, 128, 128)),
        (Image.new("F", SIZE, 65535.0), WHITE),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_every_mode_of_a_picture_comes_out_right(image, colour):
    mode = image.mode
    picture = open_picture(image)
    assert picture.mode == "RGB"
    assert near(only(picture), colour)
    assert image.mode == mode


def test_cmyk_and_ycbcr_jpegs_come_out_right():
    assert near(only(open_picture(saved(Image.new("CMYK", SIZE, (0, 255, 255, 0)), "JPEG"))), RED)
    assert near(only(open_picture(saved(Image.new("RGB", SIZE, RED), "JPEG"))), RED)


def test_other_numbers_are_stretched_from_darkest_to_brightest():
    image = Image.new("F", SIZE, -2000.0)
    image.putpixel((0, 0), 3000.0)
    picture = open_picture(image)
    assert picture.getpixel((0, 0)) == WHITE
    assert picture.getpixel((1, 0)) == BLACK


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_pixels_that_are_no_numbers_are_refused(value):
    assert "no numbers" in refusal(Image.new("F", SIZE, value))


def test_of_a_film_the_first_frame_is_taken():
    frames = [Image.new("RGB", SIZE, colour) for colour in (RED, BLUE)]
    for kind in ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert near(only(open_picture(data)), RED, 8), kind


def corners():
    """Red at the top left, blue at the top right, white below."""
    image = Image.new("RGB", SIZE, WHITE)
    image.paste(RED, (0, 0, 20, 12))
    image.paste(BLUE, (20, 0, 40, 12))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_turned_upright(kind, orientation):
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)  # what the camera did, the turn undone
    lying = corners() if turn is None else corners().transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(kind, {})
    picture = open_picture(saved(lying, kind, exif=exif, **options))
    assert picture.size == SIZE
    assert near(picture.getpixel((5, 5)), RED, 8)
    assert near(picture.getpixel((35, 5)), BLUE, 8)
    assert near(picture.getpixel((5, 20)), WHITE, 8)
    assert not picture.info
    assert not picture.getexif()


@pytest.mark.filterwarnings("ignore::UserWarning")  # PIL warns of EXIF that it cannot read
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"\0" * 99])
def test_exif_that_cannot_be_read_is_no_obstacle(exif):
    assert open_picture(saved(corners(), "JPEG", exif=exif)).size == SIZE


def test_an_orientation_that_there_is_not_is_no_orientation():
    exif = Image.Exif()
    exif[0x0112] = 77
    assert open_picture(saved(corners(), "JPEG", exif=exif)).size == SIZE


def test_a_picture_in_memory_stays_as_it_was():
    image = Image.new("RGBA", SIZE, (*RED, 0))
    image.info["secret"] = "here"
    picture = open_picture(image)
    assert only(picture) == WHITE
    assert not picture.info
    assert only(image) == (*RED, 0)
    assert image.info == {"secret": "here"}
    rgb = Image.new("RGB", SIZE, RED)
    open_picture(rgb).paste(BLUE, (0, 0, *SIZE))
    assert only(rgb) == RED


def test_a_path_may_be_a_text_or_a_path(tmp_path):
    path = tmp_path / "a picture.jpg"  # what it begins like counts, not what it is called
    path.write_bytes(saved(Image.new("RGB", SIZE, RED)))
    assert only(open_picture(path)) == only(open_picture(str(path))) == RED


def test_large_pictures_are_shrunk_to_what_fits(monkeypatch):
    monkeypatch.setattr(opening, "MAX_PIXELS", 100 * 100)
    image = Image.new("RGB", (400, 200), RED)
    for source in (image, saved(image), saved(image, "JPEG")):
        picture = open_picture(source)
        assert picture.width * picture.height <= 10_000
        assert picture.size == (141, 70)
        assert near(only(picture), RED)
    assert image.size == (400, 200)


def test_shrinking_keeps_fine_patterns_grey(monkeypatch):
    monkeypatch.setattr(opening, "MAX_PIXELS", 64 * 64)
    board = Image.new("L", (512, 512))
    board.putdata([255 * ((x + y) % 2) for y in range(512) for x in range(512)])
    lowest, highest = open_picture(board).convert("L").crop((4, 4, 60, 60)).getextrema()
    assert 120 <= lowest <= highest <= 135


NONE = "There is no picture. Choose one first."


@pytest.mark.parametrize("source", [None, "", 7, [], {}])
def test_no_picture_at_all(source):
    assert refusal(source) == NONE


def test_files_that_are_empty_or_gone(tmp_path):
    assert refusal(b"") == "The picture is empty: its file has 0 bytes."
    assert refusal(tmp_path / "gone.png") == "The picture is not there any more. Send it again."
    assert refusal(tmp_path) == "The picture is not there any more. Send it again."
    assert "not there" in refusal("a\0b")
    assert refusal(b"", what="mask") == "The mask is empty: its file has 0 bytes."


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n", "a PDF document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf  <?xml version='1.0'?><!-- x --><svg/>", "an SVG drawing"),
        (b"<!DOCTYPE html><html>", "a web page (HTML)"),
        (b"<HTML>", "a web page (HTML)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript file"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"\0\0\0\x18ftypheic....", "a HEIC photo"),
        (b"\0\0\0\x18ftypmp42....", "a video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"hello\n", "a text file"),
        (b"\x01\x02\x03\x04" * 9, "no picture file that is known here"),
        (b"\x89", "no picture file that is known here"),
    ],
)
def test_files_that_are_no_pictures_are_named(data, name, tmp_path):
    said = f"The picture is {name}; PNG, JPEG, WebP, GIF, AVIF, BMP, TIFF and PPM are read. Save it as PNG or JPEG."
    assert refusal(data) == said
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    assert refusal(path) == said


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "PPM"])
def test_files_that_are_cut_off(kind):
    noise = Image.effect_noise((96, 96), 90).convert("RGB")
    data = saved(noise, kind)
    assert open_picture(data).size == (96, 96)
    for part in (len(data) // 2, 40, 20):
        assert refusal(data[:part]).startswith("The picture is "), part
    if kind in ("PNG", "JPEG", "BMP"):
        assert "cut off" in refusal(data[: len(data) // 2])


def test_files_that_are_damaged():
    wrong_checksum = bytearray(png(8, 2, bytes(RED)))
    wrong_checksum[20] ^= 1
    assert "is damaged (it begins like a PNG file)" in refusal(bytes(wrong_checksum))
    assert refusal(PNG + b"nothing more")
    assert refusal(PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", *SIZE, 7, 9, 0, 0, 0)) + chunk(b"IEND"))
    assert refusal(b"\xff\xd8\xff" + b"\0" * 400)
    assert refusal(b"GIF89a" + b"\xff" * 400)
    assert refusal(b"RIFF\xff\xff\xff\x7fWEBP" + b"\xff" * 400)
    assert refusal(b"II*\0" + b"\xff" * 400)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore")  # PIL's, of all kinds
@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"]),
    at=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_whatever_is_wrong_in_a_file_it_is_a_picture_or_a_refusal(kind, at):
    data = bytearray(saved(corners(), kind))
    for where, value in at:
        data[int(where * len(data))] = value
    try:
        picture = open_picture(bytes(data))
    except RequestError:
        return
    assert picture.mode == "RGB"


def bomb(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND")


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000, 2**31 - 1])
def test_bombs_are_refused_by_their_header(side, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    said = refusal(bomb(side, side))
    assert "64" in said
    assert "megapixels" in said
    assert said.endswith("Send a smaller one.")


def test_bombs_are_told_with_their_numbers():
    assert refusal(bomb(9_000, 8_000)) == (
        "The picture is 9,000 × 8,000 pixels, 72 megapixels; at most 64 are opened. Send a smaller one."
    )


def test_bombs_are_refused_where_someone_has_switched_off_pils_own_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert "60,000 × 60,000" in refusal(bomb(60_000, 60_000))


def test_texts_that_decompress_to_more_than_fits_are_refused():
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000)))
    assert "is damaged" in refusal(png(8, 2, bytes(RED), extra=text))


def test_files_of_too_many_bytes_are_refused(tmp_path):
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.truncate(100_000_001)
    assert refusal(path) == "The file of the picture has 100 MB, and at most 100 MB are read."


@pytest.mark.parametrize("size", [(15, 40), (40, 15), (1, 1)])
def test_pictures_that_are_too_small(size):
    said = f"The picture is {size[0]} × {size[1]} pixels, and must have at least 16 on each side. Send a larger one."
    assert refusal(Image.new("RGB", size)) == refusal(saved(Image.new("RGB", size))) == said


def test_pictures_that_are_too_long():
    assert open_picture(Image.new("RGB", (16, 16 * MAX_ASPECT))).size == (16, 256)
    said = "The mask is 16 × 257 pixels; no side may be more than 16 times the other. Crop it."
    assert refusal(Image.new("RGB", (16, 257)), what="mask") == said


@pytest.mark.parametrize(
    ("image", "clear"),
    [
        (Image.new("RGB", SIZE), False),
        (Image.new("RGBA", SIZE, (0, 0, 0, 255)), False),
        (Image.new("RGBA", SIZE, (0, 0, 0, 254)), True),
        (Image.new("LA", SIZE, (0, 0)), True),
        (Image.new("La", SIZE, (0, 255)), False),
        (Image.new("RGBa", SIZE, (0, 0, 0, 0)), True),
        (Image.open(io.BytesIO(palette())), False),
        (Image.open(io.BytesIO(palette(0))), True),
        (Image.open(io.BytesIO(palette(1))), False),
        (Image.open(io.BytesIO(SIXTEEN["grey with a transparent value"][0])), True),
        (Image.open(io.BytesIO(SIXTEEN["RGB with a transparent colour"][0])), True),
    ],
)
def test_whether_anything_shines_through(image, clear):
    assert has_transparency(image) is clear
