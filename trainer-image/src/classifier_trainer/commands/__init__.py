"""The subcommands beside `train`. Each module is imported only when its command runs."""
