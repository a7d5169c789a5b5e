"""`python -m diracx_tasks.cli`: the same as `diracx`."""

from diracx_tasks.cli.start import main

main()
