"""The command line as the tests of the commands run it."""

from tests.cli.conftest import aesm2_command as aesm2_command
from tests.cli.conftest import refused as refused
