"""Reads a secret as applications do today: with the first credential that works."""

import os

from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

client = SecretClient(
    vault_url=os.environ["KEYVAULT_URL"], credential=DefaultAzureCredential()
)
secret = client.get_secret(os.environ["SECRET_NAME"])
print(f"Your secret is '{secret.value}'.")
