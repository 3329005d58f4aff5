"""From texts to token ids, in threads and with the raw tokenizer.

transformers' own tokenizers switch truncation and padding on and off in shared state for every call, which fails
("Already borrowed") as soon as two threads use one. Here both are switched off once; a text is encoded without special
tokens, its ids are cut, and the post-processor adds special tokens and the checkpoint's template around what is left,
so that no truncation ever cuts the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tokenizers import Tokenizer

from classifier_artifacts.errors import UserError

Truncation = Literal["Right", "Left", "Error"]


@dataclass(frozen=True, slots=True)
class TokenizedTexts:
    """Token ids of each text, and which texts were cut."""

    ids: list[list[int]]
    truncated: int

    @property
    def tokens(self) -> int:
        """All of them together, without padding."""
        return sum(map(len, self.ids))


class TextTooLongError(Exception):
    """The caller asked for an error instead of a cut; `row` is the first text that is too long."""

    def __init__(self, row: int, tokens: int, limit: int) -> None:
        super().__init__(f"text {row} has {tokens} tokens, the limit is {limit}")
        self.row, self.tokens, self.limit = row, tokens, limit


class NoTokensError(Exception):
    """The tokenizer makes nothing of the text at `row`, as of an empty one where no special tokens are added."""

    def __init__(self, row: int) -> None:
        super().__init__(f"text {row} has no tokens")
        self.row = row


class TextEncoder:
    """Encodes texts to at most `max_length` token ids each; safe to call from many threads."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, side: Literal["Right", "Left"] = "Right") -> None:
        """`tokenizer` is copied; `side` is where a text is cut unless the caller says otherwise.

        Raises UserError where `max_length` leaves no room for a text.
        """
        self._tokenizer: Tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._added = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        self._side = side
        self.max_length = max_length
        if max_length <= self._added:
            raise UserError(
                f"server.maxLength: {max_length} tokens leave no room for a text beside the {self._added} that the "
                f"tokenizer adds to each: write at least {self._added + 1}."
            )

    def encode(self, texts: Sequence[str], truncate: Truncation | None = None) -> TokenizedTexts:
        """Token ids of `texts`. Raises TextTooLongError (only with `truncate` Error) and NoTokensError."""
        side = truncate or self._side
        room = self.max_length - self._added
        ids: list[list[int]] = []
        truncated = 0
        for row, encoding in enumerate(self._tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            if len(encoding) > room:
                if side == "Error":
                    raise TextTooLongError(row, len(encoding) + self._added, self.max_length)
                encoding.truncate(room, direction=side.lower())
                truncated += 1
            text = self._tokenizer.post_process(encoding).ids
            if not text:
                raise NoTokensError(row)
            ids.append(text)
        return TokenizedTexts(ids, truncated)
