"""What an image's name may end in: every suffix that Pillow opens, whatever its version.

Which of these formats become samples is `stages.image.decode`'s to say; what a listing leaves out nobody would count.
"""

IMAGE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "avif", "avifs", "bmp", "dib", "tif", "tiff"),
        *(
            "j2c",
            "j2k",
            "jp2",
            "jpc",
            "jpf",
            "jpx",
            "ico",
            "icns",
            "cur",
            "psd",
            "eps",
            "ps",
            "tga",
            "icb",
            "vda",
            "vst",
        ),
        *("pbm", "pgm", "ppm", "pnm", "pfm", "pcx", "dcx", "pcd", "dds", "ftc", "ftu", "blp", "qoi", "fit", "fits"),
        *("fli", "flc", "gbr", "im", "msp", "pxr", "ras", "rgb", "rgba", "bw", "sgi", "xbm", "xpm"),
    )
)
"""In lower case, with the dot. Not those of which Pillow knows no more than the name: films, tables, drawings."""
