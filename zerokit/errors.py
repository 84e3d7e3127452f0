"""Everything that ZeroKit raises.

    ZeroKitError
    ├── RequestError            what was typed or sent cannot be used; nothing was asked of the GPU
    ├── ModelError              a model cannot be used
    │   ├── ModelNotFound       no such repository or folder
    │   ├── GatedModel          its owner grants access one by one
    │   ├── NoWeights           there are no weights in it
    │   ├── UnsafeWeights       its weights are pickles, which can run code
    │   ├── NoChatTemplate      it does not say how a conversation is written down
    │   ├── RemoteCode          it brings code of its own
    │   ├── NoRoom              the disk is too full to fetch it
    │   └── AdapterError        an adapter cannot be used
    │       └── AdapterMismatch it was made for another model
    ├── UsageError              a function or an option is used in a way that cannot work
    └── GPUError                a GPU call did not give its result
        ├── QuotaExceeded       more seconds reserved than the visitor has left
        ├── RunsExceeded        no runs left
        ├── NotIdentified       the visitor came without the Hub's header, so the Space itself is billed
        ├── DurationTooLong     more seconds reserved than one call may have
        ├── CreditsPending      paid seconds are tied up in other calls
        ├── QueueTimeout        no GPU came free in time
        ├── SignInExpired       the Hub's header is too old
        ├── PlatformUnavailable the scheduler does not answer, or answers with something else
        ├── DeadlineReached     the reserved seconds ended first
        ├── CallKilled          the process that worked for the call died
        ├── OutOfMemory         the GPU has too little memory for it
        ├── NonFinite           the model computed NaN or infinity
        ├── BadResult           the result cannot be brought back from the GPU
        ├── Stopped             the visitor stopped it
        └── FunctionFailed      the function raised something else

Each has a title, a message with what happened and its numbers, and advice: what to do next. All take one positional
message, so they survive pickling on the way out of a worker.
"""

from __future__ import annotations

from typing import ClassVar


class ZeroKitError(Exception):
    """Base of all errors of ZeroKit."""

    title: ClassVar[str] = "Something went wrong"
    advice: ClassVar[str] = "Please try again."

    def __init__(self, message: str) -> None:
        super().__init__(message)

    @property
    def message(self) -> str:
        """What happened, with its numbers."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


class RequestError(ZeroKitError):
    title = "Please check your input"
    advice = "Nothing was charged."


class UsageError(ZeroKitError, TypeError):
    title = "This cannot work"
    advice = ""


class ModelError(ZeroKitError):
    title = "The model cannot be used"
    advice = ""


class ModelNotFound(ModelError):
    title = "No such model"
    advice = "Check the spelling on the Hub, or give the path of a folder with the model's files."


class GatedModel(ModelError):
    title = "The model is gated"
    advice = "Ask for access on its page, then set a token with that access as the Space's secret HF_TOKEN."


class NoWeights(ModelError):
    title = "The model has no weights"
    advice = "Its folder must hold .safetensors files beside config.json."


class UnsafeWeights(ModelError):
    title = "The model's files are not safe"
    advice = "Pickle files can run code. Use a model with .safetensors files, or convert it on the Hub."


class NoChatTemplate(ModelError):
    title = "Not a chat model"
    advice = 'Choose the "-Instruct" or "-Chat" variant, or give its tokenizer a chat template.'


class RemoteCode(ModelError):
    title = "The model brings its own code"
    advice = "Read that code, and if you trust it, pass trust_remote_code=True."


class NoRoom(ModelError):
    title = "No room on the disk"
    advice = "Free some space, or set HF_HOME to a folder on a larger disk."


class AdapterError(ModelError):
    title = "The adapter cannot be used"
    advice = "Use a LoRA adapter for this model, as a .safetensors file."


class AdapterMismatch(AdapterError):
    title = "The adapter is for another model"
    advice = "Load the model that its card names as its base, or choose an adapter for this one."


class GPUError(ZeroKitError):
    title = "The GPU call failed"


class QuotaExceeded(GPUError):
    title = "Not enough GPU time left"
    advice = "Ask for something shorter, or come back when your quota does."


class RunsExceeded(GPUError):
    title = "No runs left today"
    advice = "Come back when your runs do."


class NotIdentified(GPUError):
    title = "We cannot see who you are"
    advice = "Open this Space from its page on huggingface.co, where your own quota counts."


class DurationTooLong(GPUError):
    title = "Too long for one call"
    advice = "Ask for something shorter; waiting does not help."


class CreditsPending(GPUError):
    title = "Your credits are in use"
    advice = "Try again once your other tasks have finished."


class QueueTimeout(GPUError):
    title = "All GPUs are busy"
    advice = "Nothing was charged. Try again in a minute."


class SignInExpired(GPUError):
    title = "Your visit has expired"
    advice = "Reload the page and try again."


class PlatformUnavailable(GPUError):
    title = "No GPU available"
    advice = "Nothing was charged. Try again in a minute."


class DeadlineReached(GPUError):
    title = "Out of time"
    advice = "Ask for something shorter."


class CallKilled(GPUError):
    title = "The GPU call was interrupted"
    advice = "Please try again."


class OutOfMemory(GPUError):
    title = "Too large for the GPU"
    advice = "Try something shorter or smaller."


class NonFinite(GPUError):
    title = "The model lost its way"
    advice = "Try other settings or another seed."


class BadResult(GPUError):
    title = "The result cannot be shown"
    advice = "This is for the Space's author to mend; the log has the details."


class Stopped(GPUError):
    title = "Stopped"
    advice = ""


class FunctionFailed(GPUError):
    title = "The GPU call failed"
    advice = "Please try again; if it keeps failing, tell the Space's author."
