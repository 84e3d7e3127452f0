"""`ZeroQuota`: what is left of a visitor's day on ZeroGPU, in one slim bar."""

from __future__ import annotations

import json
import logging
from abc import ABCMeta
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import gradio as gr
from gradio.component_meta import ComponentMeta, updateable
from gradio.context import get_blocks_context

from zerokit import settings

from . import hub
from .hub import MAX_SECONDS, at_least_0
from .platform import PLANS
from .state import MeterState, UsageLike, advance

logger = logging.getLogger(__name__)

_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


class NoStubFile(ComponentMeta):  # type: ignore[misc]
    """Gradio's metaclass without the .pyi file it writes beside a component's module at import.

    That file would hide this module from type checkers; there are no events to declare in it.
    """

    def __new__(mcs, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> type:
        attrs["__init__"] = updateable(attrs["__init__"])
        return ABCMeta.__new__(mcs, name, bases, attrs)


class ZeroQuota(gr.HTML, metaclass=NoStubFile):  # type: ignore[misc]
    """The GPU seconds and runs a visitor has left, when they come back, and what the next click reserves.

    A visitor who has signed in to the Space sees the Hub's numbers (the Space's card needs `hf_oauth: true` and
    `hf_oauth_scopes: [read-billing]`); anyone else sees the most that their plan can leave them; and what is not
    known is shown as not known. Off ZeroGPU the bar is not there.

    Args:
        price_s: GPU seconds that the next call reserves, as `zerokit.quota.platform.reserved_s` gives them; None: not
            told.
        sign_in: offer "Sign in" where the Space has OAuth and the visitor has not.
        visible: None: on ZeroGPU only.

    Examples:
        >>> with gr.Blocks() as demo:
        ...     quota = ZeroQuota()
        ...     button = gr.Button("Run")
        ...     quota.follow(button.click(run))
    """

    def __init__(
        self,
        *,
        price_s: float | None = None,
        sign_in: bool = True,
        visible: bool | Literal["hidden"] | None = None,
        elem_id: str | None = None,
        elem_classes: list[str] | str | None = None,
        scale: int | None = None,
        min_width: int | None = None,
        render: bool = True,
        key: int | str | tuple[int | str, ...] | None = None,
    ) -> None:
        self.active = settings.on_zero_gpu() if visible is None else bool(visible)
        self.price_s = at_least_0(price_s, MAX_SECONDS)
        self.sign_in = sign_in
        self._is_ready = False
        self._is_wired = False
        super().__init__(
            value=None,
            html_template=_text("meter.html"),
            css_template=_text("meter.css"),
            js_on_load=_script(),
            apply_default_css=False,
            visible=self.active if visible is None else visible,
            elem_id=elem_id,
            elem_classes=elem_classes,
            scale=scale,
            min_width=min_width,
            render=render,
            key=key,
            price_s=self.price_s,
        )
        self._is_ready = True
        if self.is_rendered:
            self._wire()

    def follow(
        self,
        event: gr.events.Dependency,
        *,
        price: Callable[..., float | None] | None = None,
        inputs: gr.components.Component | Sequence[gr.components.Component] | None = None,
    ) -> gr.events.Dependency:
        """Look again when an event of your own Blocks has ended, however it ended.

        Args:
            event: what a listener returns, such as `button.click(run, ...)`.
            price: as in `price`, with the same `inputs`.

        Returns:
            The event that ends after the look, to chain on.
        """
        if price is not None:
            self.price(price, inputs)
        if not self.active:
            return event
        return event.then(self._after_call, inputs=self, outputs=self, concurrency_limit=None, **_QUIET)

    def price(
        self,
        estimate: Callable[..., float | None],
        inputs: gr.components.Component | Sequence[gr.components.Component] | None = None,
    ) -> None:
        """Say what the next click reserves, now and whenever a setting changes.

        Args:
            estimate: gets the inputs' values and returns GPU seconds to reserve; None: cannot be told.
            inputs: the settings that it depends on.
        """
        if not self.active:
            return
        components = [] if inputs is None else [inputs] if isinstance(inputs, gr.components.Component) else list(inputs)

        def reprice(*values: Any) -> dict[str, Any]:
            try:
                return self.priced(estimate(*values))
            except Exception as problem:  # noqa: BLE001  half-typed settings may not have a price
                logger.warning("The price of the next run is not known: %s.", problem)
                return self.priced(None)

        root = _root_blocks()
        triggers = [component.change for component in components if hasattr(component, "change")]
        gr.on(
            [*triggers, *([root.load] if root is not None else [])],
            reprice,
            inputs=components,
            outputs=self,
            trigger_mode="always_last",
            concurrency_limit=None,
            **_QUIET,
        )

    def priced(self, price_s: float | None) -> dict[str, Any]:
        """An output that changes only the price, for a handler of your own; it leaves the numbers as they are."""
        return gr.update(price_s=at_least_0(price_s, MAX_SECONDS))

    def update(
        self,
        previous_value: Any,
        *,
        token: str | None = None,
        usage: UsageLike | None = None,
        price_s: float | None = None,
    ) -> dict[str, Any]:
        """The bar's next value, to return beside a handler's other outputs.

        Args:
            previous_value: the value as it came in, with this component among the inputs; None at first.
            token: the visitor's OAuth token, from a `gr.OAuthToken | None` parameter; None: not signed in.
            usage: what the GPU call took; None when there was none.
            price_s: what the next call reserves; None leaves the price as it is shown.
        """
        if not self.active:
            return MeterState().as_value()
        if usage is not None:
            hub.forget(token)
        return self._advanced(previous_value, token, usage=usage, price_s=price_s)

    def preprocess(self, payload: Any) -> dict[str, Any] | None:
        """What came from the page, with everything that does not belong there left out."""
        return MeterState.from_value(payload).as_value() if payload else None

    def postprocess(self, value: Any) -> dict[str, Any] | None:
        """A `MeterState` or its value, for the page."""
        return None if value is None else MeterState.from_value(value).as_value()

    def api_info(self) -> dict[str, Any]:
        """The value is an object of numbers, ISO times and names."""
        return {"type": "object"}

    def example_payload(self) -> dict[str, Any]:
        """A value for documentation."""
        return MeterState().as_value()

    def example_value(self) -> dict[str, Any]:
        """A value for documentation."""
        return MeterState().as_value()

    @property
    def skip_api(self) -> bool:
        """Programs see a function's own inputs and outputs, not the bar."""
        return True

    def render(self) -> ZeroQuota:
        """Place the bar where the Blocks context is."""
        super().render()
        if self._is_ready:
            self._wire()
        return self

    def _wire(self) -> None:
        root = _root_blocks()
        if not self.active or root is None or self._is_wired:
            return
        self._is_wired = True
        root.load(self._on_load, None, self, concurrency_limit=None, **_QUIET)
        self.refresh(self._on_refresh, self, self, concurrency_limit=None, **_QUIET)
        if self._can_sign_in() and not root.expects_oauth:
            # Gradio serves /login/huggingface and keeps sessions only where a LoginButton is in the Blocks. Its icon
            # would bring a path of this machine into the page.
            button = gr.LoginButton(visible=False, icon=None)
            button.load_event_to_attach = None

    def _can_sign_in(self) -> bool:
        # In what Gradio does not take for a Space, its sign-in wants the developer's own token at launch.
        return self.sign_in and settings.has_oauth() and gr.utils.get_space() is not None

    def _on_load(self, token: gr.OAuthToken | None) -> dict[str, Any]:
        return self._advanced(None, token.token if token else None)

    def _on_refresh(self, value: Any, token: gr.OAuthToken | None) -> dict[str, Any]:
        return self._advanced(value, token.token if token else None)

    def _after_call(self, value: Any, token: gr.OAuthToken | None) -> dict[str, Any]:
        hub.forget(token.token if token else None)
        return self._advanced(value, token.token if token else None, called=True)

    def _advanced(self, value: Any, token: str | None, **changes: Any) -> dict[str, Any]:
        return advance(
            MeterState.from_value(value),
            hub.fetch(token),
            signed_in=bool(token),
            can_sign_in=self._can_sign_in(),
            **changes,
        ).as_value()


def _root_blocks() -> gr.Blocks | None:
    context = get_blocks_context()
    return None if context is None else context.root_block


@cache
def _text(name: str) -> str:
    return files("zerokit.quota").joinpath(name).read_text("utf-8")


def _script() -> str:
    config = {
        "plans": {
            name: {"base_s": plan.base_s, "runs": plan.runs, "overquota": plan.overquota}
            for name, plan in PLANS.items()
        },
        "login_path": "/login/huggingface",
        "pro_url": f"{settings.hub_endpoint()}/pro",
        "recheck_ms": 5_000,
        "tick_ms": 2_000,
    }
    return _text("meter.js").replace("__CONFIG__", json.dumps(config), 1)
