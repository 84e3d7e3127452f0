"""What was painted in an editor, as background and mask."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from zerokit.errors import RequestError
from zerokit.pictures import opening
from zerokit.pictures.mask import painted, with_mask

SIZE = (60, 40)
BOX = (10, 5, 20, 15)


def layer(box=BOX, *, size=SIZE, colour=(255, 0, 0, 255), mode="RGBA"):
    image = Image.new(mode, size)
    if box is not None:
        image.paste(colour, box)
    return image


def edited(background, *layers):
    return {"background": background, "layers": list(layers), "composite": background}


def mask_of(*layers, background=None):
    _, mask = painted(edited(background or Image.new("RGB", SIZE), *layers))
    if mask is not None:
        assert mask.mode == "L"
        assert set(mask.tobytes()) <= {0, 255}
    return mask


def test_nothing_is_nothing():
    assert painted(None) == (None, None)
    assert painted({}) == (None, None)
    assert painted({"background": None, "layers": [], "composite": None}) == (None, None)
    assert painted({"background": None, "layers": None, "composite": None}) == (None, None)


def test_a_background_that_nobody_painted_on_has_no_mask():
    for layers in ([], [layer(None)], [None], [layer(None), layer(None)]):
        background, mask = painted(edited(Image.new("RGB", SIZE, "blue"), *layers))
        assert (background.mode, background.size, mask) == ("RGB", SIZE, None)


@pytest.mark.parametrize("colour", [(255, 0, 0, 255), (0, 0, 0, 255), (0, 0, 0, 1), (255, 255, 255, 30)])
def test_the_mask_is_where_there_is_paint_however_thin_and_dark(colour):
    mask = mask_of(layer(colour=colour))
    assert mask.size == SIZE
    assert mask.getbbox() == BOX
    assert sum(mask.histogram()[1:]) == 100


@pytest.mark.parametrize(("mode", "colour"), [("L", 1), ("RGB", (0, 0, 1)), ("1", 1), ("LA", (0, 9)), ("P", 1)])
def test_layers_of_other_modes(mode, colour):
    painted_on = layer(mode=mode, colour=colour)
    if mode == "P":
        painted_on.putpalette([0, 0, 0, 0, 9, 0])
    assert mask_of(painted_on).getbbox() == BOX


def test_a_layer_that_is_opaque_all_over():
    assert mask_of(Image.new("RGBA", SIZE, "black")).getextrema() == (255, 255)
    assert mask_of(Image.new("RGBA", SIZE, "red")).getextrema() == (255, 255)
    assert mask_of(Image.new("L", SIZE, 0)) is None
    sent = layer(mode="RGB", colour="white").convert("RGBA")  # a mask that a program sent, made RGBA by Gradio
    assert mask_of(sent).getbbox() == BOX


def test_several_layers_add_up_and_the_eraser_takes_away():
    first, second = layer((0, 0, 10, 10)), layer((30, 20, 60, 40))
    assert sum(mask_of(first, second).histogram()[1:]) == 100 + 600
    second.paste((0, 0, 0, 0), (30, 20, 60, 40))
    assert mask_of(first, second).getbbox() == (0, 0, 10, 10)
    first.paste((255, 0, 0, 0), (0, 0, 60, 40))  # the colour stays where the alpha is gone
    assert mask_of(first, second) is None


def test_a_layer_of_another_size_is_brought_to_that_of_the_background():
    assert mask_of(layer((0, 0, 60, 40), size=(120, 80))).getbbox() == (0, 0, 30, 20)
    assert mask_of(layer((0, 0, 15, 10), size=(30, 20))).getbbox() == (0, 0, 30, 20)
    thin = layer((0, 100, 1200, 101), size=(1200, 800))
    assert mask_of(thin).getbbox() == (0, 5, 60, 6)


def test_a_background_that_is_shrunk_shrinks_the_mask(monkeypatch):
    monkeypatch.setattr(opening, "MAX_PIXELS", 30 * 20)
    background, mask = painted(edited(Image.new("RGB", SIZE), layer()))
    assert background.size == mask.size == (30, 20)
    assert mask.getbbox() == (5, 2, 10, 8)


def on_its_side():
    """Stored 60 × 40, to be turned a quarter to the right: 40 × 60, red at the top right."""
    image = Image.new("RGB", SIZE, "white")
    image.paste((255, 0, 0), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, quality=100)
    return Image.open(io.BytesIO(out.getvalue()))


def test_the_mask_stays_where_it_was_painted_on_a_turned_background():
    background, mask = painted(edited(on_its_side(), layer((30, 0, 40, 10), size=(40, 60))))
    assert background.size == mask.size == (40, 60)
    assert mask.getbbox() == (30, 0, 40, 10)
    red, green, _ = background.getpixel((35, 5))
    assert red > 200
    assert green < 60


def test_a_mask_that_was_made_for_the_picture_on_its_side_is_turned_with_it():
    background, mask = painted(edited(on_its_side(), layer((0, 0, 10, 10), size=(60, 40))))
    assert background.size == mask.size == (40, 60)
    assert mask.getbbox() == (30, 0, 40, 10)


def test_paint_without_a_background():
    assert painted(edited(None, layer(None))) == (None, None)
    for empty in (None, Image.new("RGBA", SIZE), Image.new("LA", SIZE)):
        background, mask = painted(edited(empty, layer(), layer((0, 0, 20, 10), size=(30, 20))))
        assert background is None
        assert mask.size == SIZE
        assert mask.getbbox() == (0, 0, 40, 20)


def test_a_picture_alone_has_no_mask():
    background, mask = painted(Image.new("RGBA", SIZE, (0, 0, 0, 0)))
    assert background.getpixel((0, 0)) == (255, 255, 255)
    assert mask is None


def test_paths_and_arrays_do_as_well(tmp_path):
    Image.new("RGB", SIZE, "blue").save(tmp_path / "background.png")
    layer().save(tmp_path / "layer.png")
    for value in (
        edited(str(tmp_path / "background.png"), str(tmp_path / "layer.png")),
        edited(np.zeros((40, 60, 3), np.uint8), np.asarray(layer())),
    ):
        background, mask = painted(value)
        assert background.size == mask.size == SIZE
        assert mask.getbbox() == BOX


@pytest.mark.parametrize(
    "value",
    [
        "gone.png",
        7,
        {"background": 7},
        {"background": Image.new("RGB", (4, 4))},
        {"background": Image.new("RGB", SIZE), "layers": "x"},
        {"background": Image.new("RGB", SIZE), "layers": [7]},
        {"background": np.zeros((40, 60, 9), np.uint8), "layers": []},
        {"background": Image.new("RGB", SIZE), "layers": [np.zeros((40,), complex)]},
    ],
)
def test_what_is_no_picture_is_refused(value):
    with pytest.raises(RequestError):
        painted(value)


def test_what_was_given_stays_as_it_was():
    background, paint = Image.new("RGBA", SIZE, (1, 2, 3, 4)), layer()
    before = background.tobytes(), paint.tobytes()
    painted(edited(background, paint))
    assert (background.tobytes(), paint.tobytes()) == before


def half(size, left, mode="L"):
    """A mask that is white on its left, or on its right."""
    made = Image.new(mode, size, "black")
    made.paste("white", (0, 0, size[0] // 2, size[1]) if left else (size[0] // 2, 0, *size))
    return made


def test_a_mask_in_a_file_of_its_own_is_brought_to_the_size_of_the_picture():
    image, mask = with_mask(Image.new("RGBA", (64, 40), (0, 0, 0, 0)), half((128, 80), left=True))
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert (mask.size, mask.mode, mask.getbbox()) == ((64, 40), "L", (0, 0, 32, 40))


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "RGBA", "CMYK", "I;16"])
def test_masks_of_any_mode(mode, tmp_path):
    file = tmp_path / ("mask.tiff" if mode in ("CMYK", "I;16") else "mask.png")
    grey = half((64, 40), left=False)
    (grey.convert("I").point(lambda value: value * 257).convert("I;16") if mode == "I;16" else grey.convert(mode)).save(
        file
    )
    assert with_mask(Image.new("RGB", (64, 40)), file)[1].getbbox() == (32, 0, 64, 40)


def test_the_black_of_a_jpeg_is_black(tmp_path):
    half((64, 48), left=True).save(tmp_path / "mask.jpg", quality=20)
    assert with_mask(Image.new("RGB", (64, 48)), tmp_path / "mask.jpg")[1].getbbox() == (0, 0, 32, 48)


def test_a_mask_that_is_transparent_where_nothing_changes():
    mask = Image.new("RGBA", (64, 40), (0, 0, 0, 0))
    mask.paste((0, 0, 0, 255), (0, 0, 32, 40))
    assert with_mask(Image.new("RGB", (64, 40)), mask)[1].getbbox() == (0, 0, 32, 40)


@pytest.mark.parametrize("upright", [True, False])
def test_a_mask_for_a_picture_that_lies_on_its_side(upright, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # its left is above when it stands upright
    Image.new("RGB", (64, 32)).save(tmp_path / "picture.png", exif=exif)
    lying = half((64, 32), left=True)
    mask = lying.transpose(Image.Transpose.ROTATE_270) if upright else lying
    image, marked = with_mask(tmp_path / "picture.png", mask)
    assert image.size == (32, 64)
    assert marked.getbbox() == (0, 0, 32, 32)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (Image.new("L", (96, 32), 255), "The mask is 96x32 and the picture 64x64"),
        (Image.new("L", (64, 64), 0), "The mask is empty"),
        (Image.new("L", (8, 8), 255), "The mask is 8 × 8 pixels"),
        (b"nothing", "The mask is a text file"),
        (None, "There is no mask"),
    ],
    ids=["other shape", "black", "small", "text", "none"],
)
def test_masks_that_are_refused(mask, said):
    with pytest.raises(RequestError, match=said):
        with_mask(Image.new("RGB", (64, 64)), mask)


def test_a_picture_that_is_refused_is_called_a_picture():
    with pytest.raises(RequestError, match="The picture is a text file"):
        with_mask(b"nothing", Image.new("L", (64, 64), 255))
