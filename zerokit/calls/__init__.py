"""The GPU call: estimate, reservation, worker, heartbeats, deadline, errors, settling."""

from .call import Beat, Outcome
from .duration import Estimator, Linear
from .function import GPUFunction, Quote, gpu
from .page import to_gradio
from .usage import Usage

__all__ = ["Beat", "Estimator", "GPUFunction", "Linear", "Outcome", "Quote", "Usage", "gpu", "to_gradio"]
