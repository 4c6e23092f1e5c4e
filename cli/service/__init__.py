"""The whole service on embedded servers, put together for `scrip up`, `scrip demo` and the operators' commands."""
