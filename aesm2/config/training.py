"""How a model is fitted."""

from typing import Annotated, Literal

from pydantic import Field

from aesm2.config.strict import Strict


class TrainingConfig(Strict):
    """How a model is fitted.

    lambda_specific, lambda_shared: λ_sp and λ_sh of Eq. 21. task_weights: λ_k of Eq. 22 by task
    name, 1 where absent. l2: γ of Eq. 22. evaluate_every: optimizer steps between two measurements
    on the validation split, by default one an epoch. patience: measurements without a better score
    before training stops. record_every: optimizer steps between two records of the losses.
    precision: "bf16" runs the experts under autocast; gates and losses stay in float32.
    """

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(4096, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    l2: float = Field(0.0, ge=0)
    lambda_specific: float = Field(1e-3, ge=0)
    lambda_shared: float = Field(1e-3, ge=0)
    task_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    evaluate_every: int | None = Field(None, ge=1)
    patience: int = Field(2, ge=1)
    record_every: int = Field(20, ge=1)
    seed: int = Field(0, ge=0, lt=2**63)
    precision: Literal["float32", "bf16"] = "float32"
