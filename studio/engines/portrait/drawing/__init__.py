"""The generator of the drawn characters: Mira, Omar and Robot.

``python -m studio.engines.portrait.drawing static/avatars`` draws everything anew, the same to the last bit. It needs
the ``draw`` extra (resvg); the running studio only reads the files that come out (`tests/unit/test_characters.py` says
what they promise). Coordinates are pixels of the 512x512 picture; left and right are the image's.

`curves` and `svg` are the pencil; `skin`, `eyes`, `lips` and `hair` draw the parts of a person, `display` a robot's
lights; `mira`, `omar` and `robot` are the sitters; `raster` turns drawings into pixels; `files` writes a character's
folder.
"""
