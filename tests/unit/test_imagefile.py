import base64
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from studio.engines.imagefile import LONGEST, Header, decode, opaque, probe, read_bytes, read_portrait, upright
from studio.errors import BadPortrait

Picture = NDArray[np.uint8]
PIXELS = 1_000_000


def _picture(height: int = 120, width: int = 160) -> Picture:
    """Four colours, one to a quarter, so that every turn and mirror can be told."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2] = (200, 40, 40)
    rgb[: height // 2, width // 2 :] = (40, 200, 40)
    rgb[height // 2 :, : width // 2] = (40, 40, 200)
    rgb[height // 2 :, width // 2 :] = (220, 220, 60)
    return rgb


def _encode(suffix: str, pixels: NDArray[np.uint8] | NDArray[np.uint16] | None = None) -> bytes:
    bgr = _picture()[:, :, ::-1] if pixels is None else pixels
    return bytes(cv2.imencode(suffix, bgr)[1])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _exif(orientation: int, order: str) -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _turned(suffix: str, orientation: int, order: str = "<") -> bytes:
    data, exif = _encode(suffix), _exif(orientation, order)
    if suffix == ".jpg":
        body = b"Exif\0\0" + exif
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    if suffix == ".png":
        return data[:33] + _chunk(b"eXIf", exif) + data[33:]
    size = struct.pack("<I", 159)[:3] + struct.pack("<I", 119)[:3]
    chunks = b"WEBP" + b"VP8X" + struct.pack("<II", 10, 0x08) + size + data[12:]
    chunks += b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _bomb_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0")) + _chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".gif"])
def test_decode_of_each_format_gives_the_picture(suffix: str) -> None:
    try:
        data = _encode(suffix)
    except cv2.error:
        pytest.skip(f"this OpenCV cannot write {suffix}")
    assert probe(data, "me") == Header(160, 120)
    rgb = decode(data, "me", PIXELS)
    assert rgb.dtype == np.uint8
    # OpenCV writes GIF in few colours, dithered: right in the mean of a quarter, not in each pixel.
    quarters = [picture.astype(int).reshape(2, 60, 2, 80, 3).mean((1, 3)) for picture in (rgb, _picture())]
    assert np.abs(quarters[0] - quarters[1]).max() < (16 if suffix == ".gif" else 4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "order"), [(".jpg", "<"), (".jpg", ">"), (".png", ">"), (".webp", "<")])
def test_decode_stands_a_turned_photo_upright(suffix: str, order: str, orientation: int) -> None:
    rgb = decode(_turned(suffix, orientation, order), "me", PIXELS)
    corners = [rgb[y, x].astype(int) for y, x in ((5, 5), (5, -6), (-6, 5), (-6, -6))]
    colours = [_picture()[y, x].astype(int) for y, x in ((5, 5), (5, -6), (-6, 5), (-6, -6))]
    order_seen = [int(np.argmin([np.abs(c - k).sum() for k in colours])) for c in corners]
    # Where the stored corners (0 1 / 2 3) come to lie, from the table of Exif 2.32, section 4.6.4 A.
    expected = [
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [3, 2, 1, 0],
        [2, 3, 0, 1],
        [0, 2, 1, 3],
        [2, 0, 3, 1],
        [3, 1, 2, 0],
        [1, 3, 0, 2],
    ]
    assert order_seen == expected[orientation - 1]
    assert rgb.shape == ((120, 160, 3) if orientation < 5 else (160, 120, 3))


# The four quarters, 96 × 96, in files that OpenCV cannot write; made with Pillow, compressed, base 85.
RARE = {
    "CMYK JPEG, inverted as Adobe does": (
        "c-s4a<NrGbKF5^&q*R6!1`zmvo57iZmy?T|i-"
        "VV&i<^&+mtR;xR9HwzSY1X=TtQFM&_GX9SI5}O%g)%$&0I&<A>7f;$1f;2$jB}#F)ARzD=^6a{{aRO4u%AV1QusO246vjNI?c~L5BZF7"
        "~~lk7+D#?fB^~^nV4Bv+1NRNRst1l6<}auWM*b!VP<7zVFAk40_7Q41X+a?4ISBp0~6Vm3Pp?>CobercG`GQH0a_772~9$CQdFfaS2H&"
        "RW)@DO)V2sGjj_|D`yv1H+K(Dui%i-u<(e;sN|H?wDgS3tm2Z=vhs?`s^*r~w)T$Bu1S-pOr17;#>`oZ7B5-4Z25|nt2S-"
        "kvUS_`9Xod&I(+2lvEwIBp1O4T%GGPvZ`{1~@X_NZPoF)1@$%KjPoKYh{r3IG&tLy<G4QcCGx#z@GI%pE*fYG=?p&v~*Q!fn5i;6Swzm"
        "sSs7w3C>f;%UhKWLr^|I@e&=v08w|C#3W#~#ja((3bnuTuB?bo+opF+24y#Nq~4H;wq-vj_H+G!*"
    ),
    "animated WebP": (
        "c-jl{baM-1WMBw)bqWXzu!!JdU|<je;&?D}^z-y(V}JoiKVP>fI1i!%2$+ESd>nxc{rCgo4Dt#B3S}vt!ir%E4jlrD(W@L91QY|-"
        "t@+7cbz~z`;<k$_>Xnlw?{IhdpL}~;?(LA!(0ZT^3s$XqmBs|NApvfKCCml}kPYr28!Qiq3#dCx$Tgmm$op2HU6eyW$>qc}Edd1=jw#y"
        "N|CkfxGh-MHl|8ju10`AmBkI>NgKS!y%gxY`dwY6SdAYymBzaS~J*+gg2LQ9RT2%"
    ),
    "animated PNG": (
        "c-rd>@N?(olHy`uVBq!ia0vp^2_VeD1SE5RJ;(=A9Er&xK0uloh#Ahk-"
        "E{y+Nu@!=7+@M05P*?^LFZx7J0R<gr;B4q#hka73<Vnu7+4$~d{Y#e96KCXHmwMbmF$XTwKw0tKRKtq=-"
        "z7aGksT?|M@LY2oTWV5MkkBVr^`4aHI~mwYI1HYum}sF{{;mY^ZKJg!_TfW*zJ40G7f9NTCA^2?i_7(3x^JBnQY^nwH`i0;HLMA#}l!x"
        "0wMLLKzbpIF5v{GzkO>iUvl81~BzEn%w+(FTMEjr^vSZaj(x+G#|gq_<V}?R1%=?`^tMW=N~SMJSABFEpKNK3GkA*c^pgMR4$PQByTYz"
        "d5a6-t=V7hGa`A5Wzc(T_EK(cklQ_7{an^LB{Ts5lS}sJ"
    ),
    "animated GIF": (
        "c-nLKbh9u|OkhZ0Xk=ixbH_&G1P}tj2^|I?0Eshj{AXb0knz~C;9xU{Fdxr>4GRyq3n+Wdxe>7NXtxAw(47+-"
        "l@IqQIO~1!*!0AGqK5vgn45-"
        "6Pq*kK`_*`EUT|hMfA%YphRx{>b4_a>v3Lc)@Li<ed&=ciP^Ql^&AFRex`JMLtx{S$>xfiPw&yy9y^~mG2d;77Byo0|OLm~H`?lP>K`p"
        "BT-o@<Vczf<hb-;R;eYJm`SaJeBBphPleePlt^wIN}jjVl|PNmVKQ}&AP)7DgOetd3*W4PGa$l{F4ivy>()yyi*y1rU-"
        "|1{a(pK@+*<=npPZ{*g;j0c*z<^A^T`1trBqelF>Jv%=?zpz-}-EZ%%(g&9|XWw7<XV>@lCwF%5m%lH&=jW>@m-"
        "Fq<|J(8F`^DR*<@xs4eg64_{l<NMh5t4GzWr2}Z}`f2L$2|I<O#W^_nH-"
        "Q&95vo<XT>Oa>%tliTokk_Biu}Z2P0i3fYc3of)#7uV;G5cHLUJL#g}H&JLL#!&4bDy&rEz$n;%!xkI`C+)odg365NvG84Z`O3F=os<~"
        "2rvac3r>J&G>oAW38J9VZ`^U2FxIz6~)rRuc!Ns`NECR;@=o0Yz4=CUcdhkm9_Excs8d_wlAo2s*X*jN}8f3h$#Ft9Ly<J1Zi*T^vqj9"
        "+G8{7z^9#jjS(i3<xFfblCdM`8gmetDF$L>x9M9P5`b_j;otu;gT$lHw$t%1x?=rtpV{m3RuP9iM8FeQ3(e%S(Od+4}!GB6;OWz$Dk+c"
        "Pg_?o&+uNox6-h>guD5eWChsOJ`ht6}%?axbCS`*~4p{sb~9KXPZ5Y?9b)jCoA#&Y1EF==bP4eJG}SVSNGFuk9T-"
        "M!r_+h&wT%se+*gH=Ni<zr?BYG;RZ?WcdI2oCa;)j-"
        "^{Bk`RVDoCEBy|x@T^3JG~}ww;X5Hwo_L#qvwnHnr(Gs0LJfqn+3r5Jv5nFp>EI4PY;`BTi5f=+4<$smDTS1`)qfAeSLF!{+#D>|8{@*"
        "^!Q-4e|?>8{JXm=XV2H0Z~OQ8=ZU-5bJsKc`u^eX@%V<{N3YIrU=xavZ+Iel<60x%GS-"
        "Jp%w`^mO=6GI=hunbtys{;v+DZ77J04d^9wnuW-RQKUL=tiDclsXu)`?HL%CaVo4Hbts#<wcjp?e2#r?WWosWC0*gPL~xjd`5KhaE$bL"
        "oU2v(6`z!`wPmOZ<vfsPx}qMT$JG(a0Nek!KA6?h29X"
    ),
}


@pytest.mark.parametrize("kind", RARE)
def test_decode_of_rare_kinds_gives_the_first_picture(kind: str) -> None:
    rgb = decode(zlib.decompress(base64.b85decode(RARE[kind])), "me", PIXELS)
    assert rgb.shape == (96, 96, 3)
    for y, x in ((20, 20), (20, 76), (76, 20), (76, 76)):
        assert np.abs(rgb[y, x].astype(int) - _picture(96, 96)[y, x]).max() < 4


def test_upright_leaves_an_unknown_orientation_alone() -> None:
    assert (upright(_picture(), 1) == _picture()).all()
    assert decode(_turned(".jpg", 77), "me", PIXELS).shape == (120, 160, 3)


def test_transparent_pixels_lie_on_neutral_grey() -> None:
    bgra = np.zeros((100, 100, 4), np.uint8)
    bgra[:50] = (10, 20, 250, 255)
    rgb = decode(_encode(".png", bgra), "me", PIXELS)
    assert rgb[0, 0].tolist() == [250, 20, 10]
    assert rgb[99, 0].tolist() == [190, 190, 190]


def test_opaque_leaves_transparency_out_and_the_size_as_it_is() -> None:
    bgra = np.dstack([_picture(200, 5000)[:, :, ::-1], np.zeros((200, 5000), np.uint8)])
    pixels = decode(_encode(".png", bgra), "glass.png", PIXELS, opaque)
    assert np.array_equal(pixels, _picture(200, 5000))


def test_sixteen_bits_and_grey_become_eight_bit_rgb() -> None:
    deep = np.full((100, 100, 3), 40_000, np.uint16)
    assert decode(_encode(".png", deep), "me", PIXELS)[0, 0].tolist() == [155, 155, 155]
    grey = np.full((100, 100), 90, np.uint8)
    assert decode(_encode(".png", grey), "me", PIXELS)[0, 0].tolist() == [90, 90, 90]
    assert abs(int(decode(_encode(".jpg", grey), "me", PIXELS)[50, 50, 1]) - 90) < 3


def test_large_picture_is_reduced() -> None:
    wide = np.zeros((100, LONGEST + 1000), np.uint8)
    assert decode(_encode(".png", wide), "me", PIXELS).shape == (80, LONGEST, 3)


def test_bomb_is_refused_before_decoding() -> None:
    with pytest.raises(BadPortrait, match=r"^me\.png has 60000 × 60000 pixels; the limit is 50 megapixels"):
        decode(_bomb_png(60_000, 60_000), "me.png", 50_000_000)


def test_tiny_picture_is_refused() -> None:
    with pytest.raises(BadPortrait, match="has only 40 × 30 pixels"):
        decode(_encode(".png", np.zeros((30, 40, 3), np.uint8)), "me.png", PIXELS)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".gif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_file_cut_off_is_refused(suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    try:
        data = _encode(suffix, noise)
    except cv2.error:
        pytest.skip(f"this OpenCV cannot write {suffix}")
    with pytest.raises(BadPortrait, match="is cut off"):
        decode(data[: int(share * len(data))], "me", PIXELS)


def test_animation_cut_off_after_its_first_picture_is_read() -> None:
    data = zlib.decompress(base64.b85decode(RARE["animated GIF"]))
    assert [probe(data[: int(share * len(data))], "me").whole for share in (0.1, 0.2, 0.7)] == [False, False, True]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("length", [0, 1, 3, 9, 12, 15, 20, 25, 29])
def test_stump_of_a_file_is_refused(suffix: str, length: int) -> None:
    with pytest.raises(BadPortrait):
        decode(_encode(suffix)[:length], "me", PIXELS)


def test_header_without_size_is_refused() -> None:
    with pytest.raises(BadPortrait, match="damaged"):
        decode(_bomb_png(0, 100), "me", PIXELS)
    with pytest.raises(BadPortrait, match="damaged"):
        decode(_bomb_png(200, 200), "me", PIXELS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC file"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "is an AVIF file"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "is a video file"),
        (b"II*\0\x08\0\0\0", "is a TIFF or raw file"),
        (b"%PDF-1.7", "is a PDF file"),
        (b"\xef\xbb\xbf\n<svg xmlns=", "is an SVG file"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "is not a picture"),
        (b"Dear diary", "is not a picture"),
        (b"\0" * 64, "is not a picture"),
    ],
)
def test_other_files_are_called_by_name(data: bytes, words: str) -> None:
    with pytest.raises(BadPortrait, match=words):
        probe(data, "me")


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF"])
)
def test_probe_of_anything_answers_or_refuses(data: bytes, start: bytes) -> None:
    try:
        header = probe(start + data, "me")
    except BadPortrait:
        return
    assert header.width > 0 and header.height > 0


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([".png", ".jpg", ".webp", ".bmp"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_decode_of_a_damaged_file_answers_or_refuses(suffix: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(_encode(suffix))
    for where, value in damage:
        data[int(where * (len(data) - 1))] = value
    try:
        rgb = decode(bytes(data), "me", PIXELS)
    except BadPortrait:
        return
    assert rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.dtype == np.uint8


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _long(path: Path) -> None:
    path.write_bytes(b"x" * 2000)


def _absent(path: Path) -> None:
    assert not path.exists()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere.jpg")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_folder, "is a folder"),
        (_pipe, "is not a picture file"),
        (_nothing, "is empty"),
        (_long, "is larger than"),
        (_absent, "There is no picture called me"),
        (_loop, "is a link that leads to no file"),
        (_dangling, "There is no picture called me"),
    ],
)
def test_read_bytes_says_what_is_wrong(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    path = tmp_path / "me.jpg"
    make(path)
    with pytest.raises(BadPortrait, match=words) as caught:
        read_bytes(path, 1000)
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize(("name", "words"), [("x" * 300, "has too long a name"), ("a\0b", "characters that no file")])
def test_read_bytes_of_an_impossible_name_says_so(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(BadPortrait, match=words) as caught:
        read_bytes(tmp_path / name, 1000)
    assert len(caught.value.message) < 200


def test_read_bytes_without_permission_or_with_a_broken_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(b"x")
    for error, words in ((PermissionError, "no permission"), (OSError, "cannot be read from the disk")):

        def fail(*_: object, error: type[OSError] = error) -> None:
            raise error

        monkeypatch.setattr(Path, "open", fail)
        with pytest.raises(BadPortrait, match=words):
            read_bytes(path, 1000)


def test_read_portrait_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "me.png"
    path.write_bytes(_encode(".png"))
    assert (read_portrait(path, PIXELS, 1_000_000) == _picture()).all()
