"""Reads a secret as applications did before Workload ID: with the identity that IMDS hands out."""

import os

from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

client = SecretClient(
    vault_url=os.environ["KEYVAULT_URL"], credential=ManagedIdentityCredential()
)
secret = client.get_secret(os.environ["SECRET_NAME"])
print(f"Your secret is '{secret.value}'.")
