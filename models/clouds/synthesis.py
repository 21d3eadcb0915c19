"""Make believe satellite scenes: ground, clouds and their shadows, with the true cloud mask.

`scene` is what train.py learns from. Run as a program, this writes the sample scenes to scenes/ and
their masks to truth/. Everything follows from the seed.
"""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent

# Where a cloud hides at least this share of the ground, the truth says cloud.
OPAQUE = 0.5

# Reflectances in R, G, B, 0..1.
CROPS = np.array(
    [
        [0.20, 0.33, 0.14],
        [0.30, 0.42, 0.18],
        [0.45, 0.44, 0.22],
        [0.55, 0.46, 0.30],
        [0.40, 0.31, 0.22],
        [0.16, 0.27, 0.13],
        [0.62, 0.56, 0.38],
    ]
)
WOODS = np.array([0.13, 0.22, 0.12])
SOIL = np.array([0.46, 0.37, 0.27])
WATER = np.array([0.06, 0.13, 0.22])
SNOW = np.array([0.88, 0.92, 0.97])


def scene(seed, height, width, cover=None, snow=None, water=None, town=None):
    """One scene: u8[height, width, 3] and its mask, bool[height, width], true where there is cloud.

    `cover`, `snow`, `water` and `town` are the shares, 0..1, of the picture with cloud, snow and so on;
    what is not given is drawn.
    """
    rng = np.random.default_rng(seed)

    def share(given, often, most):
        drawn = rng.uniform(0.02, most) if rng.random() < often else 0.0
        return drawn if given is None else given

    ground = terrain(rng, height, width, share(water, 0.5, 0.4), share(town, 0.5, 0.3), share(snow, 0.4, 0.4))
    cloud = clouds(rng, height, width, share(cover, 0.9, 0.8))
    picture = cast_shadow(rng, ground, cloud)
    # The clouds' own light and shade: white to light grey.
    shade = 0.93 + 0.05 * noise(rng, height, width, reach=40, roughness=1.6)
    white = np.clip(shade, 0.72, 1.0)[..., None] * np.array([1.0, 1.0, 1.01])
    picture = picture + cloud[..., None] * (white - picture)
    # The sensor: some haze, its own gain, a little noise, eight bits.
    haze = rng.uniform(0.0, 0.08)
    picture = (picture * (1 - haze) + haze * np.array([0.75, 0.82, 0.90])) * rng.uniform(0.88, 1.05)
    picture += rng.normal(0.0, 0.002, picture.shape)
    return to_bytes(picture), cloud >= OPAQUE


def noise(rng, height, width, reach, roughness):
    """Fractal noise f64[height, width] with mean 0 and deviation 1.

    White noise whose spectrum falls as (f^2 + 1/reach^2)^(-roughness/2): features are up to about `reach`
    pixels large whatever the picture's size, and a greater `roughness` is smoother.
    """
    y = np.fft.fftfreq(height)[:, None]
    x = np.fft.rfftfreq(width)[None, :]
    spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
    spectrum *= (y * y + x * x + 1.0 / reach**2) ** (-roughness / 2)
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(height, width))
    return field / field.std()


def within(field, share):
    """True where `field` is in its highest `share`."""
    return field > np.quantile(field, 1.0 - share) if share > 0 else np.zeros(field.shape, bool)


def terrain(rng, height, width, water, town, snow):
    """The ground without clouds, f64[height, width, 3]."""
    relief = noise(rng, height, width, reach=120, roughness=2.6)
    detail = noise(rng, height, width, reach=12, roughness=1.5)

    mix = np.clip(0.5 + 0.35 * relief, 0, 1)[..., None]
    ground = WOODS + mix * (SOIL - WOODS)
    fields = within(noise(rng, height, width, reach=150, roughness=2.4), rng.uniform(0.2, 0.8))
    ground[fields] = patchwork(rng, height, width, rng.uniform(14, 40), CROPS)[fields]
    ground *= (1.0 + 0.05 * detail)[..., None]

    streets = within(noise(rng, height, width, reach=60, roughness=2.0), town)
    roofs = np.array([0.25, 0.33, 0.42, 0.55, 0.72, 0.9])[:, None] * np.array([1.0, 0.97, 0.94])
    ground[streets] = patchwork(rng, height, width, rng.uniform(4, 7), roofs)[streets]

    sea = within(noise(rng, height, width, reach=140, roughness=2.8), water)
    ground[sea] = (WATER * rng.uniform(0.8, 1.8) * (1.0 + 0.03 * detail[..., None]))[sea]

    # Snow is as bright as cloud, and differs as it does from above: hard edges, a slope's shading, no shadow beside it.
    ridge = noise(rng, height, width, reach=50, roughness=2.2)
    peaks = within(relief + 0.5 * ridge, snow)
    slope = np.gradient(ridge, axis=1)
    light = np.clip(0.95 + 0.06 * slope / (slope.std() + 1e-9), 0.55, 1.06)
    ground[peaks] = (SNOW * light[..., None])[peaks]
    return ground


def patchwork(rng, height, width, size, palette):
    """A turned grid of cells of about `size` pixels, each in a colour of `palette`, f64[height, width, 3]."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:height, :width]
    across = (x * np.cos(angle) + y * np.sin(angle)) / size
    along = (y * np.cos(angle) - x * np.sin(angle)) / (size * rng.uniform(1.0, 2.5))
    across, along = np.floor(across).astype(int), np.floor(along).astype(int)
    colours = palette[rng.integers(len(palette), size=(64, 64))] * rng.uniform(0.85, 1.15, (64, 64, 1))
    return colours[across % 64, along % 64]


def clouds(rng, height, width, cover):
    """How much of the ground the clouds hide, f64[height, width] in 0..1."""
    if cover <= 0:
        return np.zeros((height, width))
    field = noise(rng, height, width, reach=rng.uniform(40, 140), roughness=rng.uniform(2.2, 2.8))
    # The ramp from nothing to dense is centred where `cover` of the picture lies above it.
    softness = rng.uniform(0.2, 0.9)
    ramp = np.clip((field - np.quantile(field, 1.0 - cover)) / softness + 0.5, 0, 1)
    return ramp * ramp * (3 - 2 * ramp) * rng.uniform(0.9, 1.0)


def cast_shadow(rng, ground, cloud):
    """Darken the ground where the cloud stands before the sun: the same shape, shifted."""
    down, right = rng.integers(6, 26, 2) * rng.choice([-1, 1], 2)
    shadow = np.zeros_like(cloud)
    height, width = cloud.shape
    to_y, to_x = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    from_y, from_x = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
    shadow[to_y, to_x] = cloud[from_y, from_x]
    # Blue light from the sky still reaches a shadow.
    return ground * (1.0 - shadow[..., None] * rng.uniform(0.35, 0.6) * np.array([1.0, 0.95, 0.85]))


def to_bytes(picture):
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def luma(rgb):
    """Grey from R, G, B by the weights of ITU-R BT.601, u8."""
    return to_bytes(rgb @ np.array([0.299, 0.587, 0.114]) / 255)


# The sample scenes: seed, file, height, width, and what is asked of the scene. Seeds start where training's never reach.
SAMPLES = [
    (0, "coast.png", 150, 200, dict(cover=0.3, water=0.5, town=0.05, snow=0.0)),
    (1, "fields.png", 256, 256, dict(cover=0.25, water=0.0, town=0.0, snow=0.0)),
    (2, "town.png", 240, 320, dict(cover=0.35, water=0.1, town=0.35, snow=0.0)),
    (4, "snow.png", 211, 307, dict(cover=0.12, water=0.0, town=0.0, snow=0.45)),
    (5, "clear.png", 200, 251, dict(cover=0.0, water=0.2, town=0.15, snow=0.1)),
    (6, "overcast.png", 193, 257, dict(cover=0.9, water=0.1, town=0.05, snow=0.0)),
    (7, "island.png", 320, 224, dict(cover=0.4, water=0.7, town=0.05, snow=0.0)),
    (8, "wide.png", 151, 480, dict(cover=0.45, water=0.2, town=0.1, snow=0.0)),
    (9, "grey.png", 225, 333, dict(cover=0.35, water=0.15, town=0.05, snow=0.0)),
    (10, "alpha.png", 229, 229, dict(cover=0.5, water=0.2, town=0.0, snow=0.1)),
    (11, "large.jpg", 480, 640, dict(cover=0.4, water=0.2, town=0.1, snow=0.1)),
    (12, "speck.png", 41, 90, dict(cover=0.4, water=0.0, town=0.0, snow=0.0)),
]
SAMPLE_SEED = 9_000_000


def write_samples():
    for folder in ("scenes", "truth"):
        (HERE / folder).mkdir(exist_ok=True)
    for number, name, height, width, asked in SAMPLES:
        rgb, mask = scene(SAMPLE_SEED + number, height, width, **asked)
        picture = Image.fromarray(rgb)
        if name == "grey.png":
            picture = Image.fromarray(luma(rgb))
        if name == "alpha.png":
            # A reader must drop the alpha channel, not blend with it: a quarter of the picture is transparent.
            y, x = np.mgrid[:height, :width]
            picture.putalpha(Image.fromarray(np.where((y < height // 2) & (x < width // 2), 0, 255).astype(np.uint8)))
        path = HERE / "scenes" / name
        # Full chroma, so that other JPEG decoders than Pillow's agree with it within a level.
        options = dict(quality=85, subsampling=0) if path.suffix == ".jpg" else dict(optimize=True)
        picture.save(path, **options)
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(
            (HERE / "truth" / name).with_suffix(".png"), optimize=True
        )


if __name__ == "__main__":
    write_samples()
