"""What stands in a picture's file about how it was made: written, read, and read from files that mean harm."""

from __future__ import annotations

import io
import json
import math
import struct
import time
import tracemalloc
import zlib
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from zerokit.errors import RequestError
from zerokit.pictures.chunks import MAX_TEXT_BYTES
from zerokit.pictures.facts import MAX_EXTRA, MAX_EXTRA_CHARACTERS
from zerokit.pictures.loras import kept_adapters, untagged
from zerokit.pictures.record import Record, format_parameters, parse_parameters, read_png, write_png
from zerokit.requests import AdapterChoice

PICTURE = Image.new("RGB", (16, 16), "red")
FULL = Record(
    "a lighthouse, oil painting",
    negative_prompt="blurry",
    width=512,
    height=768,
    steps=20,
    guidance=7.5,
    seed=0,
    scheduler="Euler a",
    model="some/model",
    mode="inpaint",
    strength=0.6,
    steps_made=12,
    version="0.2.0",
    extra=(("Lora", "a: 1, b: 0.5"), ("Clip skip", "2")),
    adapters=(AdapterChoice("outline", 0.8), AdapterChoice("in oil", -1)),
)
FULL_TEXT = """a lighthouse, oil painting <lora:outline:0.8> <lora:in oil:-1>
Negative prompt: blurry
Steps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 0, Size: 512x768, Model: some/model, Denoising strength: 0.6, \
Mode: inpaint, Steps made: 12, Version: ZeroKit 0.2.0, Lora: "a: 1, b: 0.5", Clip skip: 2"""

texts = st.text(st.characters(exclude_categories=["Cs"]))
awkward = st.lists(
    texts | st.sampled_from(["\n", "Steps: 5", "Negative prompt:", ", ", '"', "\\", "😀", "שלום", ": ", "Seed: 1", " "])
).map("".join)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(
    lambda name: name.strip() and name.isprintable() and not set(name) & set("<>:")
)
records = st.builds(
    Record,
    prompt=awkward,
    negative_prompt=awkward,
    width=st.just(0) | st.integers(16, 8192),
    height=st.just(0) | st.integers(16, 8192),
    steps=st.integers(0, 200),
    guidance=st.none() | st.floats(0, 30),
    seed=st.none() | st.integers(0, 2**31 - 1),
    scheduler=awkward.map(lambda text: text[:200]),
    model=awkward.map(lambda text: text[:300]),
    mode=st.sampled_from(["text", "image", "inpaint"]),
    strength=st.none() | st.floats(0.01, 1),
    steps_made=st.none() | st.integers(0, 200),
    version=texts.map(lambda text: text[:50]),
    extra=st.dictionaries(texts.filter(bool).map(lambda key: key[:100]), awkward, max_size=5),
    adapters=st.lists(
        st.builds(AdapterChoice, names, st.floats(-4, 4) | st.integers(-4, 4)), max_size=8, unique_by=lambda c: c.name
    ).map(tuple),
)


def chunk(kind, data=b"", checksum=None):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum or zlib.crc32(kind + data))


def png(*chunks, size=(16, 16)):
    """A PNG whose pixels are rubbish: they are not to be looked at."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", b"rubbish") + chunk(b"IEND")


def own(text):
    return png(chunk(b"iTXt", b"zerokit\0\0\0\0\0" + text.encode("utf-8", "surrogatepass")))


def written(record, tmp_path, image=PICTURE):
    write_png(image, record, tmp_path / "picture.png")
    return tmp_path / "picture.png"


def refusal(source):
    with pytest.raises(RequestError) as caught:
        read_png(source)
    return caught.value.message


def test_what_is_written_is_read_again(tmp_path):
    path = written(FULL, tmp_path)
    assert read_png(path) == read_png(str(path)) == read_png(path.read_bytes()) == FULL
    with Image.open(path) as image:
        assert image.text["parameters"] == FULL_TEXT
        assert json.loads(image.text["zerokit"])["seed"] == 0
        assert image.convert("RGB").tobytes() == PICTURE.tobytes()


def test_the_text_for_other_tools():
    assert format_parameters(FULL) == FULL_TEXT
    assert parse_parameters(FULL_TEXT) == FULL
    assert format_parameters(Record("x")) == "x\nSteps: 0"


@settings(max_examples=60, deadline=None)
@given(record=records)
def test_any_record_comes_back_exactly(record, tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    write_png(PICTURE, record, path)
    assert read_png(path) == record
    with Image.open(path) as image:  # as any other tool reads it
        assert image.text["parameters"] == format_parameters(record).replace("\0", " ")


@settings(max_examples=150, deadline=None)
@given(record=records)
@example(Record("a\nSteps: 5, Sampler: x, Seed: 3", "Negative prompt: Negative prompt:\n\nSteps: 5"))
@example(Record("Negative prompt:", adapters=(AdapterChoice("0", 0.0),)))
def test_the_text_for_other_tools_gives_back_what_its_form_can_hold(record):
    again = parse_parameters(format_parameters(record))
    if any(line.startswith("Negative prompt:") for line in record.prompt.split("\n")):
        # Such a prompt is read as a negative one, and the adapters at its end with it.
        again, record = (replace(one, prompt="", negative_prompt="", adapters=()) for one in (again, record))
    if not record.extra:
        assert again == record
    else:
        assert (again.prompt, again.negative_prompt) == (record.prompt, record.negative_prompt)


@given(text=texts | awkward)
def test_any_text_is_a_record_or_none(text):
    record = parse_parameters(text)
    assert record is None or isinstance(record, Record)


WEB_UI = """portrait of a fox, (masterpiece:1.2), Steps: of stone
second line
Negative prompt: lowres, "bad", Size: 3x3
more of it
Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 4294967295, Size: 832x1216, \
Model hash: 31e35c80fc, Model: sd_xl_base, Denoising strength: 0.35, Hires upscale: 2, Hires steps: 10, \
Lora hashes: "a: 1b, c: 2d", Version: v1.10.1"""


def test_what_the_web_ui_writes():
    record = parse_parameters(WEB_UI)
    assert record.prompt == "portrait of a fox, (masterpiece:1.2), Steps: of stone\nsecond line"
    assert record.negative_prompt == 'lowres, "bad", Size: 3x3\nmore of it'
    assert (record.steps, record.scheduler, record.guidance) == (30, "DPM++ 2M Karras", 7.0)
    assert (record.width, record.height, record.model) == (832, 1216, "sd_xl_base")
    assert record.seed is None  # it does not fit ours, and is kept as a text
    assert (record.strength, record.mode, record.version) == (0.35, "text", "")
    assert dict(record.extra) == {
        "Seed": "4294967295",
        "Model hash": "31e35c80fc",
        "Hires upscale": "2",
        "Hires steps": "10",
        "Lora hashes": "a: 1b, c: 2d",
        "Version": "v1.10.1",
    }
    assert parse_parameters(format_parameters(record)) == record


def test_what_forge_writes():
    record = parse_parameters(
        "a cat\nSteps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 9, "
        "Size: 896x1152, Model hash: c161, Model: flux1-dev, Version: f2.0.1v1.10.1, Module 1: ae, Module 2: clip_l"
    )
    assert (record.prompt, record.negative_prompt, record.scheduler) == ("a cat", "", "Euler Simple")
    assert (record.guidance, record.seed, record.mode) == (1.0, 9, "text")
    assert dict(record.extra)["Distilled CFG Scale"] == "3.5"


def test_what_sdnext_writes():
    record = parse_parameters(
        "a cat\nNegative prompt: ugly\nSteps: 20, Size: 1024x1024, Sampler: UniPC, Seed: 7, CFG scale: 6, "
        "CFG true: 6, Clip skip: 1, App: SD.Next, Version: 1c5a3d2, Operations: img2img, Model: juggernaut, "
        "Model hash: c8df, Denoising strength: 0.5"
    )
    assert (record.scheduler, record.seed, record.mode, record.strength) == ("UniPC", 7, "image", 0.5)
    assert dict(record.extra)["App"] == "SD.Next"


def test_what_civitai_writes():
    resources = '[{"type":"checkpoint","modelVersionId":290640,"modelName":"Pony, \\"V6\\""},{"type":"lora"}]'
    record = parse_parameters(
        "a cat\nNegative prompt: ugly\nSteps: 25, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 832x1216, "
        f"Clip skip: 2, Created Date: 2024-05-01T01:02:03.4567890Z, Civitai resources: {resources}, "
        'Civitai metadata: {}, Hashes: {"model": "ab", "vae": "cd"}'
    )
    extra = dict(record.extra)
    assert json.loads(extra["Civitai resources"])[0]["modelName"] == 'Pony, "V6"'
    assert extra["Civitai metadata"] == "{}"
    assert json.loads(extra["Hashes"]) == {"model": "ab", "vae": "cd"}
    assert extra["Created Date"] == "2024-05-01T01:02:03.4567890Z"
    assert parse_parameters(format_parameters(record)) == record


@pytest.mark.parametrize("text", ["", " \n", "a cat", "a cat\nanother: one", "f/2, ISO: 100", "Steps", ":", ",,,"])
def test_texts_without_settings(text):
    assert parse_parameters(text) is None


def test_settings_alone_prompts_alone_and_old_forms():
    assert parse_parameters("Steps: 5").steps == 5
    assert parse_parameters("a\nNegative prompt: b") == Record("a", "b")
    assert parse_parameters("a\r\nNegative prompt: b\r\nSteps: 5, Seed: 3\r\n").seed == 3
    assert parse_parameters("a\nSampler: x, Seed: 5, Size: 64 x 96").width == 64
    assert parse_parameters("a\nSteps: 5, Mask blur: 4, Denoising strength: 0.4").mode == "inpaint"
    assert parse_parameters("a\nSteps: 5, Sampler: DDIM, Schedule type: Automatic").scheduler == "DDIM"


@pytest.mark.parametrize(
    "said",
    [
        "Steps: 5, Steps: 6",
        "Steps: -1",
        "Steps: 1e3",
        "Steps: 99999999999",
        "Steps: ٥",
        "Steps: 5, CFG scale: nan",
        "Steps: 5, CFG scale: 1e999",
        "Steps: 5, CFG scale: 1e9",
        "Steps: 5, Seed: -1",
        "Steps: 5, Size: 999999999x5",
        "Steps: 5, Size: x",
        "Steps: 5, Denoising strength: 0",
        "Steps: 5, Mode: other",
        'Steps: 5, Version: "open',
        "Steps: 5, Model: [, Version: {",
        "Steps: 5, Sampler: " + "x" * 5000,
    ],
)
def test_values_that_do_not_fit_are_kept_as_texts(said):
    record = parse_parameters(f"a\n{said}")
    last = said.rpartition(", ")[2]
    assert record.prompt == "a"
    assert record.steps in (0, 5)
    assert tuple(last.split(": ", 1)) in record.extra


@pytest.mark.parametrize(
    "line",
    [
        "Steps: 5, " + "a" * 90_000,
        "Steps: 5, " + "a: [" * 20_000,
        "Steps: 5, " + 'a: "\\' * 15_000,
        "Steps: 5, b: [" + '"\\' * 40_000,
        "Steps: 5, " + ", ".join(f"k{n}: {n}" for n in range(7_000)),
        "Steps: 5, a: " + "[" * 90_000,
        "a: b, " * 16_000,
        "\n" * 300_000,
        "Negative prompt:" * 5_000,
    ],
    ids=lambda line: line[:12] + line[-4:],
)
def test_texts_that_mean_to_take_long_are_read_at_once(line):
    start = time.monotonic()
    record = parse_parameters(f"a\n{line}")
    assert time.monotonic() - start < 2
    assert record is None or len(record.extra) <= MAX_EXTRA


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a" * 100_001 + "\nSteps: 5", "The prompt in the picture has 100,001 characters; at most 100,000 are read."),
        ("\nNegative prompt: " + "a" * 100_001, "The negative prompt in the picture has 100,001 characters"),
        ("a\nSteps: 5, " + "a" * 100_000, "The settings in the picture have 100,010 characters"),
    ],
)
def test_texts_of_absurd_size_are_refused(text, said):
    with pytest.raises(RequestError) as caught:
        parse_parameters(text)
    assert caught.value.message.startswith(said)
    assert said in refusal(png(chunk(b"tEXt", b"parameters\0" + text.encode("latin-1"))))


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("a café", b"tEXt"),
        ("a café " * 999, b"zTXt"),
        ("a 😀", b"iTXt"),
        ("שלום 😀 " * 999, b"iTXt"),
    ],
)
def test_the_chunk_is_one_that_can_hold_the_text(prompt, kind, tmp_path):
    data = written(Record(prompt, steps=5), tmp_path).read_bytes()
    for keyword in (b"parameters", b"zerokit"):
        assert kind + keyword + b"\0" in data
    assert len(data) < 3_000
    with Image.open(io.BytesIO(data)) as image:
        assert image.text["parameters"] == f"{prompt}\nSteps: 5"


def test_the_longest_record_is_written_read_and_opened_by_others(tmp_path):
    record = Record("\1" * 100_000, "😀" * 100_000, extra={"k": "\1" * (MAX_EXTRA_CHARACTERS - 1)})
    path = written(record, tmp_path)
    assert read_png(path) == record
    with Image.open(path) as image:
        image.load()
        assert image.text["parameters"] == format_parameters(record)


def test_a_nul_is_exact_in_our_own_text_and_a_blank_in_the_other(tmp_path):
    path = written(Record("a\0b"), tmp_path)
    assert read_png(path).prompt == "a\0b"
    with Image.open(path) as image:
        assert image.text["parameters"] == "a b\nSteps: 0"


def test_nothing_of_the_input_goes_into_the_file(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    image = PICTURE.copy()
    image.info = {
        "exif": exif.tobytes(),
        "icc_profile": b"secret",
        "Comment": "secret",
        "dpi": (72, 72),
        "xmp": b"secret",
    }
    data = written(FULL, tmp_path, image).read_bytes()
    assert b"secret" not in data
    kinds = {data[i : i + 4] for i in range(len(data)) if data[i : i + 4].isalpha() and data[i - 4 : i - 2] == b"\0\0"}
    assert kinds & {b"eXIf", b"iCCP", b"pHYs", b"tIME"} == set()
    assert image.info["Comment"] == "secret"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "F", "YCbCr"])
def test_pictures_of_any_mode_are_written(mode, tmp_path):
    path = written(FULL, tmp_path, Image.new(mode, (16, 16)))
    with Image.open(path) as image:
        assert image.mode == (mode if mode in ("RGB", "RGBA", "L", "LA", "1") else "RGB")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = written(FULL, tmp_path)
    before = path.read_bytes()

    def fail(self, file, *args, **kwargs):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space"):
        write_png(PICTURE, Record("other"), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "5",
        '"text"',
        "{}",
        '{"prompt": null}',
        '{"prompt": 5}',
        '{"prompt": ["a"]}',
        '{"prompt": "\\ud800"}',
        '{"prompt": "' + "a" * 100_001 + '"}',
        '{"prompt": "a"',
        "{" * 100_000,
        "[" * 500_000,
        '{"a":' * 100_000,
        "\ud800",
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_own_texts_without_a_prompt_are_none(text):
    assert read_png(own(text)) is None
    both = own(text).replace(chunk(b"IEND"), chunk(b"tEXt", b"parameters\0a\nSteps: 5") + chunk(b"IEND"))
    assert read_png(both) == Record("a", steps=5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", "512"),
        ("width", 1e3),
        ("width", True),
        ("width", 8193),
        ("height", -5),
        ("height", [[]]),
        ("steps", 201),
        ("steps", None),
        ("guidance", math.nan),
        ("guidance", math.inf),
        ("guidance", "7"),
        ("guidance", 31),
        ("seed", 2**31),
        ("seed", -1),
        ("seed", False),
        ("scheduler", "x" * 201),
        ("scheduler", {}),
        ("model", "\ud800"),
        ("mode", "other"),
        ("mode", ["text"]),
        ("strength", 0),
        ("strength", 1.5),
        ("steps_made", 1.5),
        ("version", 2),
        ("negative_prompt", None),
        ("extra", {"a": "b"}),
        ("extra", "ab"),
        ("extra", [["a"], ["a", 5], [[], "b"], ["", "b"], "ab", None, ["\ud800", ""], ["k" * 101, ""]]),
        ("unknown", 1),
    ],
)
def test_fields_of_our_own_text_that_cannot_be_are_left_out(field, value):
    assert read_png(own(json.dumps({"prompt": "a", "seed": 5, field: value}))) in (
        Record("a", seed=5),
        Record("a") if field == "seed" else None,
    )


def test_numbers_of_absurd_length_are_left_out():
    assert read_png(own('{"prompt": "a", "seed": ' + "9" * 50_000 + ', "guidance": 1e99999}')) == Record("a")


def test_extra_pairs_are_bounded():
    many = [[f"k{n}", "v"] for n in range(500)]
    assert len(read_png(own(json.dumps({"prompt": "a", "extra": many}))).extra) == MAX_EXTRA
    long = [["a", "x" * MAX_EXTRA_CHARACTERS], ["b", "y"], ["b", "z"]]
    assert read_png(own(json.dumps({"prompt": "a", "extra": long}))).extra == (("b", "y"),)
    for extra in (many, long, {"a": 5}):
        with pytest.raises(RequestError):
            Record("a", extra=extra)


@pytest.mark.parametrize(
    "values",
    [{"prompt": 5}, {"prompt": "\ud800"}, {"width": 3}, {"seed": 2**31}, {"mode": "x"}, {"guidance": math.nan}],
)
def test_a_record_is_checked_when_it_is_made(values):
    with pytest.raises(RequestError):
        Record(**{"prompt": "a", **values})


def test_texts_after_the_pixels_and_of_files_of_any_size_are_read_without_decoding(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    late = png(size=(2**31 - 1, 2**31 - 1)).replace(chunk(b"IEND"), chunk(b"tEXt", b"parameters\0a\nSteps: 5"))
    assert read_png(late + chunk(b"IEND")) == Record("a", steps=5)


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXt packed"])
def test_the_text_of_other_tools_is_read_from_every_chunk(kind):
    text = b"a\nSteps: 5"
    data = {
        b"tEXt": text,
        b"zTXt": b"\0" + zlib.compress(text),
        b"iTXt": b"\0\0en\0parameters\0" + text,
        b"iTXt packed": b"\1\0\0\0" + zlib.compress(text),
    }[kind]
    assert read_png(png(chunk(kind[:4], b"parameters\0" + data))) == Record("a", steps=5)


def test_pictures_without_settings():
    for kind in ("PNG", "JPEG", "WEBP"):
        out = io.BytesIO()
        PICTURE.save(out, kind)
        assert read_png(out.getvalue()) is None
    assert read_png(png(chunk(b"tEXt", b"Software\0x"), chunk(b"tEXt", b"no end"))) is None


def commented(kind, comment):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    out = io.BytesIO()
    PICTURE.save(out, kind, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + "a 😀\nSteps: 5".encode("utf-16-be"),
        b"UNICODE\0" + "a 😀\nSteps: 5".encode("utf-16-le"),
        b"UNICODE\0" + "\ufeffa 😀\nSteps: 5".encode("utf-16-le"),
        b"ASCII\0\0\0" + "a 😀\nSteps: 5".encode(),
        bytes(8) + "a 😀\nSteps: 5".encode(),
        "a 😀\nSteps: 5\0\0".encode(),
    ],
)
def test_jpeg_and_webp_as_the_web_ui_writes_them(kind, comment):
    assert read_png(commented(kind, comment)) == Record("a 😀", steps=5)


@pytest.mark.parametrize("comment", [b"", b"UNICODE\0", b"UNICODE\0\xd8", b"ASCII\0\0\0Canon", b"\xff" * 50, "Nikon"])
def test_comments_of_cameras_are_no_settings(comment):
    assert read_png(commented("JPEG", comment)) is None


def text_of(size):
    return zlib.compress(bytes(size))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes"),
        (b"hello", "PNG, JPEG and WebP"),
        (b"GIF89a" + bytes(99), "PNG, JPEG and WebP"),
        (b"%PDF", "PNG, JPEG and WebP"),
        (png()[:-1], "cut off"),
        (png()[:-12], "cut off"),
        (png()[:20], "cut off"),
        (png()[:8], "cut off"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND"), "no header"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"x") + chunk(b"IEND"), "no header"),
        (png(b"\xff\xff\xff\xfftEXtparameters\0"), "cut off"),
        (png(chunk(b"tEXt", b"parameters\0a", checksum=5)), "checksum"),
        (png(chunk(b"zTXt", b"parameters\0\0rubbish")), "decompressed"),
        (png(chunk(b"zTXt", b"parameters\0\0" + text_of(50_000_000))), "2,097,152 bytes"),
        (png(chunk(b"iTXt", b"zerokit\0\1\0\0\0" + text_of(50_000_000))), "2,097,152 bytes"),
        (png(chunk(b"tEXt", b"parameters\0" + bytes(MAX_TEXT_BYTES + 99))), "2,097,152 bytes"),
        (png(chunk(b"tEXt") * 100_001), "100,000 chunks"),
        (b"\xff\xd8\xff" + bytes(99), "JPEG"),
        (b"RIFF\x10\0\0\0WEBP" + bytes(9), "WebP"),
        (None, "There is no picture"),
    ],
)
def test_files_that_are_none_damaged_or_absurd_are_refused(data, said):
    assert said in refusal(data)


def test_memory_stays_bounded():
    data = png(chunk(b"zTXt", b"parameters\0\0" + text_of(40_000_000)), chunk(b"tEXt", b"other\0" + bytes(30_000_000)))
    tracemalloc.start()
    refusal(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.filterwarnings("ignore")  # PIL's, of all kinds
@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP"]),
    at=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_whatever_is_wrong_in_a_file_it_is_a_record_none_or_a_refusal(kind, at):
    data = bytearray(png(chunk(b"tEXt", b"zerokit\0" + b'{"prompt": "a", "seed": 5, "extra": [["a", "b"]]}')))
    if kind != "PNG":
        data = bytearray(commented(kind, b"UNICODE\0" + FULL_TEXT.encode("utf-16-be")))
    for where, value in at:
        data[int(where * len(data))] = value
    try:
        record = read_png(bytes(data))
    except RequestError:
        return
    assert record is None or isinstance(record, Record)


# Adapters.


@pytest.mark.parametrize(
    ("prompt", "left", "found"),
    [
        ("a fox <lora:oil:0.8>", "a fox", [("oil", 0.8)]),
        ("<lora:oil:1> a fox,<lora:ink:-.5> red", " a fox, red", [("oil", 1), ("ink", -0.5)]),
        ("a <lora:oil> fox", "a fox", [("oil", 1)]),
        ("a fox <lora:oil:0.8:0.3>", "a fox", [("oil", 0.8)]),
        ("a fox <lora:oil:0.8> <lora:oil:2>", "a fox", [("oil", 0.8)]),
        ("a fox <lora:oil:1e-3>", "a fox", [("oil", 0.001)]),
        ("a fox <lora:oil:5>", "a fox <lora:oil:5>", []),
        ("a fox <lora:oil:nan>", "a fox <lora:oil:nan>", []),
        ("a fox <lora:oil:1e999>", "a fox <lora:oil:1e999>", []),
        ("a fox <lora::1>", "a fox <lora::1>", []),
        ("a fox <lora: :1>", "a fox <lora: :1>", []),
        ("a fox <lora:a\tb:1>", "a fox <lora:a\tb:1>", []),
        ("a fox <lora:" + "x" * 61 + ":1>", "a fox <lora:" + "x" * 61 + ":1>", []),
        ("a fox <hypernet:oil:1>", "a fox <hypernet:oil:1>", []),
    ],
)
def test_adapters_in_a_prompt(prompt, left, found):
    assert untagged(prompt) == (left, tuple(AdapterChoice(*one) for one in found))


def test_of_too_many_adapters_the_rest_stays_in_the_prompt():
    left, found = untagged("a fox" + "".join(f" <lora:n{n}:1>" for n in range(10)))
    assert (left, len(found)) == ("a fox <lora:n8:1> <lora:n9:1>", 8)


def test_a_name_with_a_colon_stands_in_the_json_alone(tmp_path):
    record = Record("a fox", adapters=(AdapterChoice("owner:oil"), AdapterChoice("ink")))
    assert format_parameters(record).startswith("a fox <lora:ink:1>\n")
    assert read_png(written(record, tmp_path)) == record


@pytest.mark.parametrize(
    "said",
    [
        '["oil"]',
        "7",
        '[["oil", 1, 2]]',
        '[["oil", "1"]]',
        '[["oil", NaN]]',
        '[["oil", true]]',
        '[["oil", 5]]',
        '[["<b>", 1]]',
        '[["a\\u0000b", 1]]',
        '[["a\\ud800b", 1]]',
        '[["", 1]]',
        "[[null, 1]]",
        "null",
        f'[["{"x" * 61}", 1]]',
    ],
)
def test_adapters_that_cannot_be_are_left_out(said):
    record = read_png(own(f'{{"prompt": "a fox", "adapters": {said}}}'))
    assert (record.prompt, record.adapters) == ("a fox", ())


def test_no_more_adapters_are_read_than_work_together():
    many = [[f"n{n}", 1] for n in range(1000)]
    assert len(read_png(own(json.dumps({"prompt": "a fox", "adapters": many}))).adapters) == 8
    assert kept_adapters([("oil", 1), ("oil", 2), ("ink", 1)]) == (AdapterChoice("oil", 1), AdapterChoice("ink", 1))
    for bad in ((AdapterChoice("oil"),) * 2, tuple(AdapterChoice(f"n{n}") for n in range(9)), "oil", (("oil", 1),)):
        with pytest.raises(RequestError, match="adapters"):
            Record("a fox", adapters=bad)


def test_a_long_prompt_of_half_tags_is_read_in_no_time():
    text = "<lora:" * 16_000
    assert untagged(text) == (text, ())
    assert untagged("<lora:a:1:" * 9_000)[1] == ()
