"""ZeroDiffusion as a program finds it, with the real worker behind it: what is asked, what is sent, what comes back."""

import ast
import json
import struct
import zlib
from io import BytesIO
from pathlib import Path

import anyio
import httpx
import pytest
from image_world import DETAILS, body, image_world, same, upload
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    with image_world("image.py", folder, env={"IMAGE_MCP": "1", "IMAGE_STEPS": "3"}) as space:
        yield space


@pytest.fixture
def images(space):
    """The app on a new day; whatever a test did to it, it holds nothing afterwards."""
    space.new_day()
    yield space
    space.settle()
    assert len(space.z.workers) == 1


@pytest.fixture
def unasked(space):
    """The app, for what must not reach the GPU at all."""
    space.new_day()
    before = len(space.z.calls)
    yield space
    assert len(space.z.calls) == before


# What comes back.


def test_a_picture_carries_how_it_was_made(images):
    made = images.paint("a red circle", seed=7, steps=4, guidance=5, negative_prompt="blue", scheduler="EulerDiscrete")
    assert set(made.details) == DETAILS
    assert (made["seeds"], made["steps"], made["ended"], made["notes"]) == ([7], 4, "complete", [])
    assert (made["width"], made["height"], made["flagged"]) == (32, 32, [False])
    assert made.captions == ["Seed 7"]
    (file,), (record,) = made.files, made.records
    assert file.name == "a-red-circle-7.png"
    assert (record.prompt, record.negative_prompt, record.seed) == ("a red circle", "blue", 7)
    assert (record.steps, record.guidance, record.scheduler, record.mode) == (4, 5, "EulerDiscrete", "text")
    assert (record.width, record.height) == made.pictures[0].size == (32, 32)
    assert record.steps_made is record.strength is None
    assert images.last.outcome == "done"
    assert made["reserved_s"] == images.last.reserved_s
    assert 0 < made["used_s"] <= images.last.used_s + 0.1


def test_four_pictures_are_one_run_and_each_can_be_made_again(images):
    before, runs = len(images.z.calls), images.z.visitor("free").runs_left
    four = images.paint(images=4, seed=10)
    assert len(images.z.calls) == before + 1
    assert images.z.visitor("free").runs_left == runs - 1
    assert four["seeds"] == [10, 11, 12, 13] == [record.seed for record in four.records]
    assert len({picture.tobytes() for picture in four.pictures}) == 4
    again = images.paint(seed=four["seeds"][1])
    assert same(again.pictures[0], four.pictures[1], tolerance=2)


def test_a_warm_worker_remembers_nothing_of_the_call_before(images, tmp_path):
    first = images.paint(seed=5)
    picture = upload(saved(tmp_path, Image.new("RGB", (64, 40), "red")))
    images.paint("else", seed=5, images=2, scheduler="UniPCMultistep", guidance=0, image=picture, strength=1)
    warm = images.paint(seed=5)
    assert images.last.cold is False
    images.z.set_faults("kill:0@1")
    images.refused()
    images.z.set_faults()
    cold = images.paint(seed=5)
    assert images.last.cold is True
    for later in (warm, cold):
        assert same(later.pictures[0], first.pictures[0])
        assert later.records == first.records


def test_without_a_seed_each_picture_is_another(images):
    one, other = images.paint(), images.paint()
    assert one["seeds"] != other["seeds"]
    assert not same(one.pictures[0], other.pictures[0])


# What is asked.


@pytest.mark.parametrize("prompt", ["", " \n\t\u00a0", "x" * 200_000], ids=["empty", "blank", "long"])
def test_what_cannot_be_asked_costs_nothing(unasked, prompt):
    error = unasked.refused(prompt)
    assert error.title == "Please check your input"
    assert "Nothing was charged" in error.message
    assert ("is empty" if len(prompt) < 10 else "200,000 characters") in error.message


REST = ("", None, None, 1, 2, None, 3, "", None, None, 0.6)
"""What follows the prompt in the body of a REST call."""


def test_half_a_character_is_told(unasked):
    said = unasked.rest(body("a \ud83d circle", *REST))
    assert "event: error" in said
    assert "lone surrogate" in said


@pytest.mark.parametrize(
    "prompt",
    [
        "👩‍👩‍👧 🏳️‍🌈",
        "مرحبا \u202eשלום\u202c",
        "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;",
        "../../etc/passwd\x00\x1b[31m\u200b\ufeff",
        "a (red:1.4) circle, Steps: 9, Seed: 1\nNegative prompt: x",
    ],
    ids=["emoji", "right-to-left", "script", "control", "settings"],
)
def test_any_text_is_painted_and_comes_back_exactly(images, prompt):
    made = images.paint(prompt, steps=1, seed=1)
    assert made["ended"] == "complete"
    assert made.records[0].prompt == prompt
    assert made.files[0].name.endswith("-1.png")
    assert made.files[0].name.isascii()
    assert "<" not in made.files[0].name


def test_what_no_encoder_reads_is_told(images):
    (note,) = images.paint("red " * 30, steps=1)["notes"]
    assert note == "The last 23 words of the prompt were not read: this model reads 24 tokens."


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"width": 100_000}, "Width is 100,000, and must be from 16 to 8,192"),
        ({"height": 0}, "Height is 0"),
        ({"width": 8192, "height": 8192}, "67.1 million pixels"),
        ({"width": 4096, "height": 2048, "images": 4}, "4 times 4096x2048 is 33.6 million pixels"),
        ({"steps": 0}, "Steps is 0, and must be from 1 to 200"),
        ({"steps": -1}, "Steps is -1"),
        ({"steps": 10_000}, "Steps is 10,000"),
        ({"steps": 2.5}, "Steps must be a whole number, not '2.5'"),
        ({"steps": "abc"}, "Steps must be a whole number, not 'abc'"),
        ({"steps": True}, "Steps must be a whole number"),
        ({"steps": [1]}, "Steps must be a whole number"),
        ({"images": 0}, "The number of images is 0, and must be from 1 to 16"),
        ({"images": 1000}, "The number of images is 1,000"),
        ({"guidance": 30.5}, "Guidance is 30.5, and must be from 0 to 30"),
        ({"guidance": -1}, "Guidance is -1"),
        ({"guidance": "very"}, "Guidance must be a number"),
        ({"seed": -1}, "Seed is -1, and must be from 0 to 2,147,483,647"),
        ({"seed": 10**30}, "Seed is far too large"),
        ({"strength": 0}, "Strength is 0"),
        ({"scheduler": "DDIMM"}, 'This model has no scheduler "DDIMM". Did you mean "DDIM"?'),
        ({"scheduler": "zzzz"}, "There is DDIM, "),
        ({"negative_prompt": "x" * 200_000}, "The negative prompt has 200,000 characters"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_settings_out_of_range(unasked, settings, said):
    error = unasked.refused(**settings)
    assert error.title == "Please check your input"
    assert said in error.message
    assert "Nothing was charged" in error.message


def test_a_number_that_is_none_is_told(unasked):
    said = unasked.rest(body("a circle", *REST[:4], float("nan"), *REST[5:]))
    assert "Steps must be a whole number, not 'nan'" in said


def test_sizes_are_brought_to_what_the_model_makes(images):
    off, tiny = images.paint(width=45, height=35, steps=1), images.paint(width=16, height=16, steps=1)
    assert (off["width"], off["height"]) == off.pictures[0].size == (48, 32)
    assert off["notes"] == ["The size is 48x32: sides are multiples of 8 here."]
    assert (tiny["width"], tiny["height"], tiny["notes"]) == (16, 16, [])


def test_a_negative_prompt_without_effect_is_told(images):
    made = images.paint(negative_prompt="blue", guidance=0, steps=1)
    assert made["notes"] == ["With a guidance of 0 the negative prompt has no effect."]


# Pictures that are sent along.

BLUE = (20, 40, 200)


def saved(folder: Path, picture: Image.Image, name: str = "picture.png", **how: object) -> Path:
    picture.save(folder / name, **how)
    return folder / name


def corner_mask(folder: Path, size: tuple[int, int]) -> Path:
    """White in the lower right eighth of the sides."""
    mask = Image.new("L", size, 0)
    mask.paste(255, (size[0] * 7 // 8, size[1] * 7 // 8, *size))
    return saved(folder, mask, "mask.png")


def transparent(folder):
    return saved(folder, Image.new("RGBA", (64, 64), (255, 0, 0, 0))), (255, 255, 255), (64, 64)


def palette(folder):
    return saved(folder, Image.new("RGB", (64, 64), BLUE).quantize(4), "picture.gif"), BLUE, (64, 64)


def sixteen_bits(folder):
    return saved(folder, Image.new("I;16", (64, 64), 40000)), (156, 156, 156), (64, 64)


def turned(folder):
    """Blue below on the upright picture, which lies on its side in the file."""
    picture = Image.new("RGB", (64, 32), BLUE)
    picture.paste((255, 255, 0), (32, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 8
    return saved(folder, picture, exif=exif), (255, 255, 0), (32, 64)


@pytest.mark.parametrize("kind", [transparent, palette, sixteen_bits, turned])
def test_pictures_of_all_kinds_come_out_right_where_they_are_kept(images, tmp_path, kind):
    file, colour, size = kind(tmp_path)
    mask = corner_mask(tmp_path, size)
    made = images.paint(image=upload(file), mask=upload(mask), width=size[0], height=size[1], steps=2, strength=1)
    picture = made.pictures[0]
    assert picture.size == size
    assert all(abs(a - b) <= 2 for a, b in zip(picture.getpixel((2, 2)), colour, strict=True))
    assert (made.records[0].mode, made.records[0].strength) == ("inpaint", 1)


def test_a_picture_to_start_from_gives_the_shape(images, tmp_path):
    picture = upload(saved(tmp_path, Image.new("RGB", (80, 40), BLUE)))
    made = images.paint(image=picture, steps=4, strength=0.5)
    assert (made["width"], made["height"]) == (48, 24)
    assert (made["steps"], made.records[0].steps, made.records[0].mode) == (2, 4, "image")


def test_a_mask_of_another_size_is_brought_to_that_of_the_picture(images, tmp_path):
    picture, mask = saved(tmp_path, Image.new("RGB", (64, 64), BLUE)), corner_mask(tmp_path, (32, 32))
    made = images.paint(image=upload(picture), mask=upload(mask), width=64, height=64, steps=1, strength=1)
    (painted,) = made.pictures
    assert painted.getpixel((2, 2)) == painted.getpixel((40, 40)) == BLUE
    assert painted.getpixel((60, 60)) != BLUE


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
    )


def whole_png() -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").rotate(45).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("cut.png", whole_png()[:800], "The picture is cut off"),
        ("broken.png", whole_png()[:200] + bytes(500) + whole_png()[700:], "The picture is damaged"),
        ("bomb.png", png_header(50_000, 50_000), "megapixels"),
        ("empty.png", b"", "0 bytes"),
        ("text.png", b"this is not a picture", "is a text file"),
        ("notes.txt", b"this is not a picture", "is a text file"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing"),
        ("page.png", b"<!doctype html><script>alert(1)</script>", "a web page"),
        ("small.png", png_header(4, 4), "at least 16 on each side"),
        ("long.png", png_header(4000, 20), "more than 16 times the other"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_files_that_are_no_pictures(unasked, tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    error = unasked.refused(image=upload(tmp_path / name))
    assert error.title == "Please check your input"
    assert said in error.message
    assert name not in error.message


def test_a_file_is_a_picture_by_what_is_in_it_and_not_by_its_name(images, tmp_path):
    Image.new("RGB", (32, 32), BLUE).save(tmp_path / "upload", "PNG")
    assert images.paint(image=upload(tmp_path / "upload"), steps=2)["ended"] == "complete"


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (Image.new("L", (96, 32), 255), "must have the same shape"),
        (Image.new("L", (64, 64), 0), "The mask is empty"),
        (None, "A mask needs the picture"),
    ],
    ids=["other shape", "empty", "alone"],
)
def test_masks_that_mark_nothing(unasked, tmp_path, mask, said):
    files = {"mask": upload(saved(tmp_path, mask or Image.new("L", (64, 64), 255), "mask.png"))}
    if mask is not None:
        files["image"] = upload(saved(tmp_path, Image.new("RGB", (64, 64), BLUE)))
    error = unasked.refused(**files)
    assert error.title == "Please check your input"
    assert said in error.message


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../../../etc/passwd", __file__])
@pytest.mark.parametrize("field", [9, 10], ids=["image", "mask"])
def test_only_what_was_uploaded_is_read(unasked, path, field):
    data = ["a circle", *REST]
    for value in (path, {"path": path, "meta": {"_type": "gradio.FileData"}}):
        data[field] = value
        said = unasked.rest(body(*data))
        assert "event: error" in said
        assert "root:" not in said
    data[field] = {"path": "a.png", "url": f"file://{path}", "meta": {"_type": "gradio.FileData"}}
    assert "event: complete" not in unasked.rest(body(*data))


# The other ways to it.


def test_the_endpoint_is_documented_and_typed(unasked):
    info = unasked.client().view_api(return_format="dict")
    endpoint = info["named_endpoints"]["/generate"]
    assert endpoint["description"].startswith("Make pictures from a prompt")
    parameters = {parameter["parameter_name"]: parameter for parameter in endpoint["parameters"]}
    assert list(parameters)[:5] == ["prompt", "negative_prompt", "width", "height", "images"]
    assert not {"token", "request", "meter"} & set(parameters)
    assert all(parameter["python_type"]["description"] for parameter in parameters.values())
    assert [name for name, parameter in parameters.items() if not parameter["parameter_has_default"]] == ["prompt"]
    kinds = {name: parameter["type"]["type"] for name, parameter in parameters.items() if "type" in parameter["type"]}
    assert {name: kinds[name] for name in ("prompt", "steps", "seed", "guidance", "strength")} == {
        "prompt": "string",
        "steps": "integer",
        "seed": "integer",
        "guidance": "number",
        "strength": "number",
    }
    assert [found["label"] for found in endpoint["returns"]] == ["Pictures", "Details"]


def test_rest_gives_the_same_picture(images):
    (expected,) = images.paint("a circle", steps=2, seed=3).pictures
    said = images.rest(body("a circle", *REST))
    assert said.startswith("event: complete")
    gallery, details = json.loads(said.partition("data: ")[2])
    assert (details["seeds"], details["steps"]) == ([3], 2)
    assert gallery[0]["caption"] == "Seed 3"
    with Image.open(gallery[0]["image"]["path"]) as picture:
        assert same(picture.convert("RGB"), expected)


def test_it_is_a_tool(images):
    async def use():
        async with (
            streamable_http_client(f"{images.app.url}/gradio_api/mcp/") as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            (name,) = (name for name in tools if name.endswith("generate"))
            asked = {"prompt": "a circle", "steps": 2, "seed": 3, "images": 2}
            return tools[name], await session.call_tool(name, asked), await session.call_tool(name, {"prompt": ""})

    tool, made, refused = anyio.run(use)
    assert tool.description.startswith("Make pictures from a prompt")
    assert "token" not in tool.inputSchema["properties"]
    assert tool.inputSchema["properties"]["steps"]["description"].startswith("Denoising steps")
    assert tool.inputSchema["properties"]["steps"]["type"] == "integer"
    gallery, details = ast.literal_eval(made.content[0].text)
    assert (details["seeds"], details["ended"]) == ([3, 4], "complete")
    first, _ = (Image.open(BytesIO(httpx.get(item["image"]["url"]).content)).convert("RGB") for item in gallery)
    assert same(first, images.paint("a circle", steps=2, seed=3).pictures[0], tolerance=2)
    assert refused.isError
    assert "The prompt is empty" in refused.content[0].text
