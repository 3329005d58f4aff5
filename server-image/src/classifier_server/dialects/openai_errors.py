"""Errors as OpenAI writes them, which several servers copy with types and statuses of their own."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from classifier_server.dialects.writing import dump


class OpenAIErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: Annotated[str | None, Field(description="Field of the request that is wrong.")]
    code: Annotated[str | int | None, Field(description="The HTTP status, or a word.")]


class OpenAIError(BaseModel):
    """Body of every answer that is not 200."""

    error: OpenAIErrorDetail


def render(message: str, kind: str, param: str | None, code: str | int | None) -> bytes:
    """By the shape of OpenAIError."""
    return dump({"error": {"message": message, "type": kind, "param": param, "code": code}})
