"""A client's methods, made of the functions that say what to do: one signature for the blocking and the async form."""

from collections.abc import Callable
from functools import wraps
from typing import Generic, ParamSpec, Self, TypeVar, overload

P = ParamSpec("P")
Client = TypeVar("Client")
Said = TypeVar("Said")
Result = TypeVar("Result")


class Method(Generic[P, Client, Result]):
    """A method with the parameters of `say`; `do` is the client's way of doing what that says."""

    def __init__(self, say: Callable[P, Said], do: Callable[[Client, Said], Result]) -> None:
        def bind(client: Client) -> Callable[P, Result]:
            @wraps(say)
            def method(*args: P.args, **kwargs: P.kwargs) -> Result:
                return do(client, say(*args, **kwargs))

            return method

        self._bind, self.__doc__ = bind, say.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, Result]: ...
    def __get__(self, client: Client | None, owner: type) -> Self | Callable[P, Result]:
        """The method of this client; of the class, what describes it."""
        return self if client is None else self._bind(client)
