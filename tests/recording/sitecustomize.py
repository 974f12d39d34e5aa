"""Have a worker note each AWS call that it makes: a folder to be put into PYTHONPATH, with CALLS naming the file.

Its servers and their seeds, which are processes of their own, note nothing.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from aiobotocore.client import AioBaseClient

_call = AioBaseClient._make_api_call


def _noted(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
    if sys.argv[1:2] != ["local"]:
        named = [parameters[name] for name in ("Bucket", "TableName", "QueueUrl") if name in parameters]
        of = [*named, *parameters.get("RequestItems", ()), ""][0]
        with Path(os.environ["CALLS"]).open("a", encoding="utf-8") as noted:
            noted.write(f"{json.dumps([self.meta.service_model.service_name, operation, of])}\n")
    return _call(self, operation, parameters)


AioBaseClient._make_api_call = _noted
