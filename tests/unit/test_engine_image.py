"""Pictures of the image engine."""

import pickle

import pytest
import tiny_image

from zerokit.control import Control
from zerokit.engines.image import ImageEngine
from zerokit.requests import ImageRequest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Engines by family, made when first asked for."""
    made = {}

    def engine(family: str = "stable-diffusion") -> ImageEngine:
        if family not in made:
            made[family] = ImageEngine(tiny_image.make(family, tmp_path_factory.mktemp(family)))
        return made[family]

    return engine


def paint(engine, prompt="a red circle", control=None, **settings):
    return engine.generate(engine.prepare(ImageRequest(prompt, **settings)), control or Control())


def test_pictures_from_a_prompt(tiny):
    prepared = tiny().prepare(ImageRequest("a red circle", images=2, steps=4, seed=7))
    prepared = pickle.loads(pickle.dumps(prepared))
    reply = tiny().generate(prepared, Control())
    assert [picture.seed for picture in reply.pictures] == [7, 8]
    assert all(picture.image.size == (32, 32) and picture.image.mode == "RGB" for picture in reply.pictures)
    assert (reply.ended, reply.steps, reply.steps_asked) == ("complete", 4, 4)
