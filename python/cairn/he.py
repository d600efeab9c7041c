# SPDX-License-Identifier: Apache-2.0
"""libcairn in Python: exact sums of small integers, encrypted.

Every client encrypts a run of values, anybody adds payloads without a key, and whoever holds the secret key
opens the sum:

    params = Params("capsule", value_bits=16, contributors=10)
    secret, public = params.keygen()
    nonce = new_nonce()                                   # one for the experiment, public
    payload = params.encrypt(public, nonce, round_, 0, values)
    total = bytearray(payload); params.add(total, other, n=len(values))
    sums = params.decrypt(secret, nonce, round_, 0, total, contributors=2, n=len(values))

`Quantiser` takes float32 to such integers and sums back to the weighted mean. Open each (nonce, round, frame)
once, for one set of clients, and not for fewer than three: two sums that differ in one client show its update.

The library is found by CAIRN_LIBRARY, a path, or where the system's loader looks for libcairn.so.0; OSError where it is
not. What the library refuses is a CairnError, with its sentence and hint; arrays and bytes of the wrong kind or size
are a ValueError.
"""

import ctypes
import os
from typing import Any, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

NONCE_SIZE = 32
SECRET_KEY_MOST = 2160
PROFILES = {"none": 0, "bfv": 1, "capsule": 2, "seal-ckks": 3}
Bytes = Union[bytes, bytearray, memoryview, NDArray[Any]]


class CairnError(RuntimeError):
    """What libcairn refused. `name` is one of the codes of cairn/err.h, such as "REFUSED"."""

    def __init__(self, code: int, name: str, what: str, hint: str):
        super().__init__(f"{what}; {hint}" if hint else what)
        self.code, self.name, self.what, self.hint = code, name, what, hint


class _Problem(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("what", ctypes.c_char * 400), ("hint", ctypes.c_char * 240)]


class _Quantiser(ctypes.Structure):
    _fields_ = [("range", ctypes.c_double), ("value_bits", ctypes.c_uint),
                ("largest_samples", ctypes.c_uint64), ("round", ctypes.c_uint32),
                ("first", ctypes.c_uint64), ("seed", ctypes.c_uint64), ("client", ctypes.c_uint32),
                ("samples", ctypes.c_uint64)]


_P, _SIZE, _U32 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
_WHY = ctypes.POINTER(_Problem)
_FUNCTIONS = {
    "cairn_version": (ctypes.c_char_p, []),
    "cairn_error_name": (ctypes.c_char_p, [ctypes.c_int]),
    "cairn_params_new": (ctypes.c_int, [ctypes.c_int, ctypes.c_uint, _U32, ctypes.POINTER(_P), _WHY]),
    "cairn_params_free": (None, [_P]),
    "cairn_params_id": (ctypes.c_char_p, [_P]),
    "cairn_params_security_bits": (ctypes.c_double, [_P]),
    "cairn_params_limit": (ctypes.c_int32, [_P]),
    "cairn_payload_size": (_SIZE, [_P, _SIZE]),
    "cairn_keygen": (ctypes.c_int, [_P, ctypes.POINTER(_P), ctypes.POINTER(_P), _WHY]),
    "cairn_public_key_free": (None, [_P]),
    "cairn_secret_key_free": (None, [_P]),
    "cairn_public_key_write": (ctypes.c_int, [_P, _P, ctypes.POINTER(_SIZE), _WHY]),
    "cairn_public_key_read": (ctypes.c_int, [_P, _P, _SIZE, ctypes.POINTER(_P), _WHY]),
    "cairn_secret_key_write": (ctypes.c_int, [_P, _P, ctypes.POINTER(_SIZE), _WHY]),
    "cairn_secret_key_read": (ctypes.c_int, [_P, _P, _SIZE, ctypes.POINTER(_P), _WHY]),
    "cairn_nonce_new": (ctypes.c_int, [_P, _WHY]),
    "cairn_encrypt": (ctypes.c_int, [_P, _P, _P, _U32, _U32, _P, _SIZE, _P, _SIZE, _WHY]),
    "cairn_add": (ctypes.c_int, [_P, _SIZE, _P, _P, _SIZE, _WHY]),
    "cairn_open": (ctypes.c_int, [_P, _P, _P, _U32, _U32, _U32, _P, _SIZE, _P, _SIZE, _WHY]),
    "cairn_quantise": (ctypes.c_int, [ctypes.POINTER(_Quantiser), _P, _P, _SIZE, _P,
                                      ctypes.POINTER(ctypes.c_uint64), _WHY]),
    "cairn_mean": (ctypes.c_int, [ctypes.POINTER(_Quantiser), ctypes.c_uint64, _P, _SIZE, _P, _WHY]),
}
_loaded: Optional[ctypes.CDLL] = None


def _library() -> ctypes.CDLL:
    global _loaded
    if _loaded is None:
        library = ctypes.CDLL(os.environ.get("CAIRN_LIBRARY", "libcairn.so.0"))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        _loaded = library
    return _loaded


def _call(name: str, *arguments: Any) -> None:
    why = _Problem()
    code = getattr(_library(), name)(*arguments, ctypes.byref(why))
    if code != 0:
        word = _library().cairn_error_name(code).decode()
        raise CairnError(code, word, why.what.decode("utf-8", "replace"), why.hint.decode("utf-8", "replace"))


def _address(array: NDArray[Any]) -> int:
    return array.ctypes.data


def _bytes(data: Bytes, what: str, size: Optional[int] = None) -> NDArray[Any]:
    out = np.frombuffer(data, np.uint8)
    if size is not None and out.size != size:
        raise ValueError(f"{what} has {out.size} bytes, not {size}")
    return out


def version() -> str:
    """Of the library, such as "0.1.0"."""
    text: bytes = _library().cairn_version()
    return text.decode()


def new_nonce() -> bytes:
    """A nonce for one experiment, NONCE_SIZE bytes, public; all its clients use the same."""
    out = np.zeros(NONCE_SIZE, np.uint8)
    _call("cairn_nonce_new", _address(out))
    return out.tobytes()


class _Key:
    """A handle on a key; the library wipes a secret one when it is freed."""

    _kind = ""

    def __init__(self, params: "Params", handle: Any):
        self.params, self._handle = params, handle

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            getattr(_library(), f"cairn_{self._kind}_key_free")(handle)

    def __bytes__(self) -> bytes:
        size = _SIZE(SECRET_KEY_MOST if self._kind == "secret" else 0)
        if self._kind == "public":  # ask for the size
            _library().cairn_public_key_write(self._handle, None, ctypes.byref(size), None)
        out = np.zeros(size.value, np.uint8)
        _call(f"cairn_{self._kind}_key_write", self._handle, _address(out), ctypes.byref(size))
        return out[: size.value].tobytes()

    @classmethod
    def from_bytes(cls, params: "Params", data: Bytes) -> Any:
        """Read a key that bytes() wrote, for the same parameters. CairnError where it is damaged or of others."""
        raw, handle = _bytes(data, "a key"), _P()
        _call(f"cairn_{cls._kind}_key_read", params._handle, _address(raw), raw.size, ctypes.byref(handle))
        return cls(params, handle)


class PublicKey(_Key):
    """What clients encrypt under. bytes(key) can be sent."""

    _kind = "public"


class SecretKey(_Key):
    """What opens sums. bytes(key) is as secret as the key."""

    _kind = "secret"


class Params:
    """The smallest parameters that keep their promises for sums of up to `contributors` payloads.

    profile: "capsule" (smallest), "bfv", "seal-ckks", or "none" (no protection, to compare with).
    value_bits: 2..32, of "seal-ckks" 2..24; values lie in +-limit, 2^(value_bits-1) - 1.
    contributors: 1..10000.
    CairnError ("CONFIG") where this cannot be promised.
    """

    def __init__(self, profile: str = "capsule", value_bits: int = 16, contributors: int = 16):
        if profile not in PROFILES:
            raise ValueError(f"profile {profile!r} is none of {', '.join(PROFILES)}")
        self._handle = _P()
        self.profile, self.value_bits, self.contributors = profile, value_bits, contributors
        _call("cairn_params_new", PROFILES[profile], value_bits, contributors, ctypes.byref(self._handle))

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            _library().cairn_params_free(self._handle)
            self._handle = _P()

    @property
    def id(self) -> str:
        """Equal exactly when the parameters are."""
        text: bytes = _library().cairn_params_id(self._handle)
        return text.decode()

    @property
    def limit(self) -> int:
        """The largest magnitude of a value."""
        return int(_library().cairn_params_limit(self._handle))

    @property
    def security_bits(self) -> float:
        """Estimated, in bits; 0 for profile none."""
        return float(_library().cairn_params_security_bits(self._handle))

    def payload_size(self, n: int) -> int:
        """Bytes of a payload of n values; 0 where n is 0 or more than one payload holds."""
        return int(_library().cairn_payload_size(self._handle, n))

    def keygen(self) -> Tuple[SecretKey, PublicKey]:
        """A fresh pair. CairnError for profile none, which has no keys."""
        secret, public = _P(), _P()
        _call("cairn_keygen", self._handle, ctypes.byref(secret), ctypes.byref(public))
        return SecretKey(self, secret), PublicKey(self, public)

    def encrypt(self, key: Optional[PublicKey], nonce: bytes, round_: int, frame: int,
                values: NDArray[Any]) -> bytes:
        """Encrypt values (n,), integers within +-limit. Returns a payload of payload_size(n) bytes

        round_ and frame number this run of values in the experiment; key is None only for profile none.
        """
        array = np.ascontiguousarray(values)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError("values are a one-dimensional array of integers")
        if array.size and (array.min() < -self.limit or array.max() > self.limit):
            raise ValueError(f"a value is outside of +-{self.limit}")
        array = np.ascontiguousarray(array, np.int32)
        raw = _bytes(nonce, "the nonce", NONCE_SIZE)
        out = np.zeros(self.payload_size(array.size), np.uint8)
        _call("cairn_encrypt", self._handle, key._handle if key is not None else None, _address(raw),
              round_, frame, _address(array), array.size, _address(out), out.size)
        return out.tobytes()

    def add(self, total: bytearray, payload: Bytes, n: int) -> None:
        """total += payload, in place; both of payload_size(n) bytes. Needs no key."""
        to = np.frombuffer(total, np.uint8)
        what = _bytes(payload, "the payload", to.size)
        _call("cairn_add", self._handle, n, _address(to), _address(what), what.size)

    def decrypt(self, key: Optional[SecretKey], nonce: bytes, round_: int, frame: int, total: Bytes,
                contributors: int, n: int) -> NDArray[Any]:
        """Open the sum of `contributors` payloads. Returns (n,) int64, the exact sums

        CairnError "INTEGRITY" where it is no honest sum of that many payloads under this key, nonce, round and frame.
        """
        raw = _bytes(nonce, "the nonce", NONCE_SIZE)
        data = _bytes(total, "the sum", self.payload_size(n))
        out = np.zeros(n, np.int64)
        _call("cairn_open", self._handle, key._handle if key is not None else None, _address(raw), round_,
              frame, contributors, _address(data), data.size, _address(out), n)
        return out


class Quantiser:
    """From float32 to small integers whose sum is exact, and from the sum to the weighted mean.

    q = clamp(floor(x (samples / largest_samples) / step + u)), step = range / limit, u uniform and replayable
    from (seed, round, client, position). range, value_bits, largest_samples, round and first must be the same
    for all who are summed.

    range            largest magnitude of an update that is not clamped
    value_bits       2..24, as of the parameters
    largest_samples  most samples that a client may have, 1..2^40
    samples          of this client: its weight
    first            position of the first value in the whole model
    """

    def __init__(self, range: float, value_bits: int, largest_samples: int, round: int, samples: int,
                 client: int = 0, seed: int = 0, first: int = 0):
        self._c = _Quantiser(range, value_bits, largest_samples, round, first, seed, client, samples)

    def quantise(self, values: NDArray[Any], residual: Optional[NDArray[Any]] = None) -> NDArray[Any]:
        """Values (n), of any shape, as (n,) int32 to encrypt. CairnError "DATA" where one is NaN or infinite.

        residual: (n) float32, what earlier rounds still owe; changed in place to what is owed now (error feedback).
        """
        x = np.ascontiguousarray(values, np.float32).reshape(-1)
        if residual is not None and (residual.dtype != np.float32 or residual.size != x.size or
                                     not residual.flags.c_contiguous):
            raise ValueError("residual is a contiguous float32 array as long as the values")
        out = np.zeros(x.size, np.int32)
        _call("cairn_quantise", ctypes.byref(self._c), _address(x),
              _address(residual) if residual is not None else None, x.size, _address(out), None)
        return out

    def mean(self, weight: int, sums: NDArray[Any]) -> NDArray[Any]:
        """The weighted mean of what was summed: sums (n,) -> (n,) float32. weight: the samples of all who are in it,
        added."""
        s = np.ascontiguousarray(sums, np.int64).reshape(-1)
        out = np.zeros(s.size, np.float32)
        _call("cairn_mean", ctypes.byref(self._c), weight, _address(s), s.size, _address(out))
        return out
