"""Requests and answers of KServe V2."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class TensorParameters(BaseModel):
    """How a tensor is sent. Others are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)

    binary_data_size: Annotated[int, Field(ge=0, description="Bytes after the JSON that are the tensor.")] | None = None
    binary_data: Annotated[bool | None, Field(description="Whether an output is sent in binary.")] = None


class InputTensor(BaseModel):
    """The texts."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: Annotated[str, Field(description="Any.")]
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(description="[n] or [n, 1].")]
    datatype: Annotated[str, Field(description="BYTES.")]
    data: Annotated[list[str | list[str]] | None, Field(description="The texts, unless they are sent in binary.")] = (
        None
    )
    parameters: TensorParameters | None = None


class WantedTensor(BaseModel):
    """An output that is asked for."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: str
    parameters: TensorParameters | None = None


class InferParameters(BaseModel):
    """Of the whole request. Others are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)

    binary_data_output: Annotated[bool | None, Field(description="Whether outputs are sent in binary.")] = None


class InferRequest(BaseModel):
    """Texts to classify. Fields that are not known are ignored."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {"name": "input-0", "shape": [2], "datatype": "BYTES", "data": ["Wheat rose.", "Oil fell."]}
                    ]
                }
            ]
        },
    )

    id: Annotated[str, Field(description="Comes back in the answer.")] | None = None
    inputs: Annotated[list[InputTensor], Field(description="One tensor of texts.")]
    outputs: Annotated[
        list[WantedTensor] | None, Field(description="Some of label, probabilities and labels; left out: all.")
    ] = None
    parameters: InferParameters | None = None


class OutputTensor(BaseModel):
    """An output: `label` BYTES [n], `probabilities` FP32 [n, k] or `labels` BYTES [k], the names of its columns."""

    name: str
    shape: list[int]
    datatype: str
    data: list[str] | list[float] | None = None
    parameters: dict[str, int] | None = None


class InferResponse(BaseModel):
    """Answer to an InferRequest. A single logit has no name for what its label is not: there `label` is empty below a
    probability of a half."""

    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]


class KServeError(BaseModel):
    """Body of every answer that is not 200."""

    error: str
