"""`python -m edge_dx.manifest > docs/manifest.schema.json`."""

import json

from edge_dx.manifest import json_schema

print(json.dumps(json_schema(), indent=2))
