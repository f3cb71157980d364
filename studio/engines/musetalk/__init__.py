"""The MuseTalk engine: the mouth of a video loop, painted anew by a latent inpainting network (MuseTalk v1.5).

The sound's way is `mel -> windows -> hearing`, the picture's `landmarks | detector -> boxes -> masks -> latents ->
store` once per avatar, and both meet in `take -> paste`. `engine` wires it all; `importer` reads what upstream made.
Pipeline and networks are those of MuseTalk (TMElyralab/MuseTalk, MIT).
"""
