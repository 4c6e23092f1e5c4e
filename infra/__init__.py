"""Everything that touches the outside: databases, brokers, files and the servers behind them."""
