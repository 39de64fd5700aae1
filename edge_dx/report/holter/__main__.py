"""`python -m edge_dx.report.holter > docs/holter.schema.json` writes the schema again."""

import json

from edge_dx.report.holter.record import json_schema

if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
