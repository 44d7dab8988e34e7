"""Azure.Identity of .NET: ManagedIdentityCredential and DefaultAzureCredential.

The assembly runs unmodified on .NET Core; pythonnet is the bridge to it.
"""

import json
import sys
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import clr_loader
import pythonnet

import lines

SDK = Path(__file__).parent
ASSEMBLIES = SDK / "azureml/dataprep/api/engineapi/bin"
RUNTIME = {
    "runtimeOptions": {
        "framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"},
        # Without ICU, as slim images are.
        "configProperties": {"System.Globalization.Invariant": True},
    }
}

with NamedTemporaryFile("w", suffix=".runtimeconfig.json") as config:
    json.dump(RUNTIME, config)
    config.flush()
    pythonnet.load(
        clr_loader.get_coreclr(runtime_config=config.name, dotnet_root=str(SDK / "dotnetcore2/bin"))
    )

import clr  # noqa: E402  it exists once the runtime is loaded

sys.path.append(str(ASSEMBLIES))
for assembly in ("Azure.Core", "Azure.Identity"):
    clr.AddReference(assembly)

from Azure.Core import TokenRequestContext  # noqa: E402
from Azure.Identity import (  # noqa: E402
    DefaultAzureCredential,
    DefaultAzureCredentialOptions,
    ManagedIdentityCredential,
    TokenCredentialOptions,
)
from System import Array, Object, String, Type  # noqa: E402
from System.Threading import CancellationToken  # noqa: E402


@lru_cache(maxsize=None)
def managed(client_id):
    # The public constructor by its types: pythonnet takes an internal one when it is given None.
    types = [clr.GetClrType(String), clr.GetClrType(TokenCredentialOptions)]
    constructor = clr.GetClrType(ManagedIdentityCredential).GetConstructor(Array[Type](types))
    return constructor.Invoke(Array[Object]([client_id, None]))


@lru_cache(maxsize=None)
def default(client_id):
    options = DefaultAzureCredentialOptions()
    options.ManagedIdentityClientId = client_id
    return DefaultAzureCredential(options)


def token(credential):
    def get(resource, client_id):
        request = TokenRequestContext(Array[String]([resource + "/.default"]))
        found = credential(client_id).GetToken(request, getattr(CancellationToken, "None"))
        return found.Token, found.ExpiresOn.ToUnixTimeSeconds()

    return get


lines.serve(token(managed), token(default))
