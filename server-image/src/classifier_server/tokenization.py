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
Strategy = Literal["Max", "Mean"]


@dataclass(frozen=True, slots=True)
class LongText:
    """Long texts are read whole, in windows, instead of being cut."""

    strategy: Strategy
    """How the windows' answers become one."""
    stride: int | None = None
    """Tokens that a window shares with the one before; None: a quarter of a window."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the caller wants texts to be read."""

    truncate: Truncation | None = None
    """Where a text that is too long is cut; None: as the checkpoint says."""
    max_tokens: int | None = None
    """Tokens of a text, special ones included, if fewer than the model takes."""
    long_text: LongText | None = None


AS_TRAINED = Reading()


@dataclass(frozen=True, slots=True)
class TokenizedTexts:
    """Token ids of each text, or of each window of it, and how many texts were cut."""

    ids: list[list[int]]
    truncated: int
    rows: list[int] | None = None
    """The text that each window belongs to, ascending; None: every text has one."""

    @property
    def tokens(self) -> int:
        """All of them together, without padding."""
        return sum(map(len, self.ids))


class TextTooLongError(Exception):
    """The caller asked for an error instead of a cut; `row` is the first text that is too long."""

    def __init__(self, row: int, tokens: int, limit: int) -> None:
        super().__init__(f"text {row} has {tokens} tokens, the limit is {limit}")
        self.row, self.tokens, self.limit = row, tokens, limit


class NoRoomError(Exception):
    """The caller's `max_tokens` or `stride` leaves nothing of a text; `least` and `most` bound what does."""

    def __init__(self, what: Literal["max_tokens", "stride"], least: int, most: int) -> None:
        super().__init__(f"{what} must be from {least} to {most}")
        self.what: Literal["max_tokens", "stride"] = what
        self.least, self.most = least, most


class TooManyWindowsError(Exception):
    """The texts have more windows together than are taken at once."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} windows")
        self.limit = limit


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

    def encode(self, texts: Sequence[str], reading: Reading = AS_TRAINED, max_windows: int = 256) -> TokenizedTexts:
        """Token ids of `texts`.

        Raises TextTooLongError (only with `truncate` Error), NoTokensError, NoRoomError and TooManyWindowsError.
        """
        length = min(reading.max_tokens or self.max_length, self.max_length)
        room = length - self._added
        if room < 1:
            raise NoRoomError("max_tokens", self._added + 1, self.max_length)
        if reading.long_text is not None:
            return self._windows(texts, reading.long_text, room, max_windows)
        side = reading.truncate or self._side
        ids: list[list[int]] = []
        truncated = 0
        for row, encoding in enumerate(self._tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            if len(encoding) > room:
                if side == "Error":
                    raise TextTooLongError(row, len(encoding) + self._added, length)
                encoding.truncate(room, direction=side.lower())
                truncated += 1
            text = self._tokenizer.post_process(encoding).ids
            if not text:
                raise NoTokensError(row)
            ids.append(text)
        return TokenizedTexts(ids, truncated)

    def _windows(self, texts: Sequence[str], how: LongText, room: int, max_windows: int) -> TokenizedTexts:
        stride = room // 4 if how.stride is None else how.stride
        if not 0 <= stride < room:
            raise NoRoomError("stride", 0, room - 1)
        ids: list[list[int]] = []
        rows: list[int] = []
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        step = room - stride
        if sum(1 + max(0, -(-(len(encoding) - room) // step)) for encoding in encodings) > max_windows:
            raise TooManyWindowsError(max_windows)
        for row, encoding in enumerate(encodings):
            encoding.truncate(room, stride=stride)
            for window in (encoding, *encoding.overflowing):
                text = self._tokenizer.post_process(window).ids
                if not text:
                    raise NoTokensError(row)
                ids.append(text)
                rows.append(row)
        return TokenizedTexts(ids, 0, rows)
