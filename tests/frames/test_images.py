"""Images of Pillow in every mode, and masked arrays."""

import numpy as np
import pytest
import torch
from PIL import Image

from gpuview.errors import FrameError
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.tensor_layout import read_tiles
from gpuview.frames.snapshot import snapshot

COLOURS = Image.new("RGB", (30, 20), (204, 51, 102))  # of the web palette, which "P" has
COLOURS.paste((0, 204, 51), (0, 0, 15, 20))

TO_RGB = ["RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB", "P", "PA"]
GREYS = ["1", "L", "LA", "La"]
NUMBERS = ["I", "F", "I;16", "I;16L", "I;16B", "I;16N"]


def in_mode(mode: str) -> Image.Image:
    """Convert `COLOURS`; Pillow reaches some modes only through another."""
    through = {"RGBa": "RGBA", "PA": "P", "La": "LA", "LAB": "RGB"}.get(mode)
    image = COLOURS if through is None else COLOURS.convert(through)
    return Image.new(mode, image.size, 128) if mode in NUMBERS else image.convert(mode)


def shown(frame: object, **look: object) -> np.ndarray:
    return np.asarray(snapshot(frame, Look(**look), {}))


def test_these_are_all_modes():
    assert set(Image.MODES) <= {*TO_RGB, *GREYS, *NUMBERS}


@pytest.mark.parametrize("mode", TO_RGB)
def test_an_image_in_colour_is_shown_in_its_colours(mode):
    image = in_mode(mode)

    pixels = shown(image)

    tolerance = 24 if mode == "LAB" else 4  # LAB has fewer saturated colours
    np.testing.assert_allclose(pixels.astype(int), np.asarray(COLOURS).astype(int), atol=tolerance)


@pytest.mark.parametrize("mode", ["L", "LA", "La"])
def test_a_grey_image_is_shown_without_its_alpha(mode):
    np.testing.assert_array_equal(shown(in_mode(mode)), np.asarray(COLOURS.convert("L")))


def test_a_palette_of_classes_is_shown_in_its_colours():
    mask = Image.new("P", (30, 20), 0)
    mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    mask.paste(2, (0, 0, 30, 10))

    pixels = shown(mask)

    assert pixels[0, 0].tolist() == [0, 128, 0]
    assert pixels[19, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("mode", NUMBERS)
def test_an_image_of_numbers_keeps_its_numbers(mode):
    tiles = read_tiles(in_mode(mode))

    assert tiles.pixels.shape == (1, 1, 20, 30)
    assert (tiles.pixels.to(torch.float64) == 128).all()


@pytest.mark.parametrize("size", [(3, 20), (20, 3), (1, 1)])
@pytest.mark.parametrize("layout", [None, "CHW"])
def test_an_image_is_never_guessed_to_be_a_stack(size, layout):
    image = COLOURS.resize(size)

    np.testing.assert_array_equal(shown(image, layout=layout), np.asarray(image))


def test_an_image_that_pillow_cannot_convert_is_refused_by_the_name_of_its_mode(monkeypatch):
    image = in_mode("LAB")

    def convert(_image: Image.Image, mode: str) -> Image.Image:
        raise ValueError(f"conversion from LAB to {mode} not supported")

    monkeypatch.setattr(Image.Image, "convert", convert)
    with pytest.raises(FrameError, match=r"(?s)image\.mode = 'LAB' \(conversion.*np\.asarray"):
        read_tiles(image)


def test_an_image_that_cannot_be_loaded_is_refused_with_the_cause(tmp_path):
    path = tmp_path / "cut.png"
    COLOURS.resize((300, 200)).save(path)
    path.write_bytes(path.read_bytes()[:200])

    with Image.open(path) as image, pytest.raises(FrameError, match="reading it raised") as caught:
        read_tiles(image)

    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64"]
)
def test_masked_values_are_nan_and_the_others_keep_their_colours(dtype):
    values = np.arange(600).reshape(1, 20, 30) % 2
    values = (values * (255 if dtype == "uint8" else 1)).astype(dtype)
    mask = np.zeros((1, 20, 30), bool)
    mask[0, 3:9, 4:11] = True
    value_range = (0, 1) if values.dtype.kind in "iu" and dtype != "uint8" else None

    pixels = shown(np.ma.masked_array(values, mask), value_range=value_range)

    expected = np.repeat((values[0] != 0)[..., None], 3, axis=2) * 255
    expected[mask[0]] = shown(np.full((1, 20, 30), np.nan))[0, 0]
    np.testing.assert_array_equal(pixels, expected)


def test_a_masked_value_of_a_colour_picture_is_nan():
    picture = np.ma.masked_equal(np.full((20, 30, 3), 7, np.uint8), 9)
    picture[2, 3, 1] = np.ma.masked

    pixels = shown(picture)

    assert pixels[2, 3].tolist() == shown(np.full((1, 20, 30), np.nan))[0, 0].tolist()
    assert (np.delete(pixels.reshape(-1, 3), 2 * 30 + 3, axis=0) == 7).all()


def test_integers_that_float32_does_not_hold_are_exact_behind_a_mask():
    depth = np.ma.masked_less(np.array([[0, 16_777_217]], np.int32), 1)

    assert read_tiles(depth).pixels[0, 0, 0, 1] == 16_777_217


def test_a_masked_array_without_masked_values_is_shared():
    array = np.ma.masked_array(np.zeros((20, 30), np.uint8))

    pixels = read_tiles(array).pixels
    array[3, 4] = 9

    assert pixels.dtype == torch.uint8
    assert pixels[0, 0, 3, 4] == 9


@pytest.mark.parametrize("dtype", ["complex64", "object", "U3"])
def test_a_masked_array_of_no_real_numbers_is_refused(dtype):
    with pytest.raises(FrameError, match="cannot show"):
        read_tiles(np.ma.masked_array(np.zeros((4, 5), dtype), np.eye(4, 5, dtype=bool)))
