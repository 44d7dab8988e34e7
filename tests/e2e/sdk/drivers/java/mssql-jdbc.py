"""Microsoft's JDBC driver for SQL Server, with authentication=ActiveDirectoryMSI."""

import os
import subprocess

import lines
from expiry import expiry
from sql_server import SqlServer

server = SqlServer()
here = os.path.dirname(os.path.abspath(__file__))
# It connects with the URL in each line, and answers with an error or an empty line.
driver = subprocess.Popen([f"{here}/jdbc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def managed(resource, client_id):
    server.spn, server.token = resource, None
    identity = f"msiClientId={client_id};" if client_id else ""
    url = (
        f"jdbc:sqlserver://127.0.0.1:{server.port};encrypt=true;trustServerCertificate=true;connectRetryCount=0;"
        f"authentication=ActiveDirectoryMSI;{identity}"
    )
    print(url, file=driver.stdin, flush=True)
    error = driver.stdout.readline().strip()
    if error:
        raise ConnectionError(error)
    return server.token, expiry(server.token)


lines.serve(managed)
