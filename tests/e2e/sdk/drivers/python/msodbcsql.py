"""Microsoft's ODBC driver for SQL Server, as mssql-python-odbc ships it, with Authentication=ActiveDirectoryMsi."""

import ctypes
import glob
import os

import lines
from expiry import expiry
from sql_server import SqlServer

ENVIRONMENT, CONNECTION = 1, 2
ODBC_VERSION, ODBC_3 = 200, 3

server = SqlServer()
here = os.path.dirname(os.path.abspath(__file__))
libraries = glob.glob(f"{here}/mssql_python_odbc/libs/linux/debian_ubuntu/*/lib")[0]
ctypes.CDLL(f"{libraries}/libodbcinst.so.2", ctypes.RTLD_GLOBAL)
driver = ctypes.CDLL(glob.glob(f"{libraries}/libmsodbcsql-*")[0])
environment = ctypes.c_void_p()
driver.SQLAllocHandle(ENVIRONMENT, None, ctypes.byref(environment))
driver.SQLSetEnvAttr(environment, ODBC_VERSION, ctypes.c_void_p(ODBC_3), 0)


def managed(resource, client_id):
    server.spn, server.token = resource, None
    identity = f"UID={client_id};" if client_id else ""
    connect(
        f"Server=tcp:127.0.0.1,{server.port};Encrypt=yes;TrustServerCertificate=yes;ConnectRetryCount=0;"
        f"Authentication=ActiveDirectoryMsi;{identity}"
    )
    return server.token, expiry(server.token)


def connect(settings):
    connection = ctypes.c_void_p()
    driver.SQLAllocHandle(CONNECTION, environment, ctypes.byref(connection))
    text = settings.encode("utf-16-le") + b"\0\0"
    result = driver.SQLDriverConnectW(connection, None, text, -3, None, 0, None, 0)
    message = "" if result in (0, 1) else diagnostics(connection)
    driver.SQLDisconnect(connection)
    driver.SQLFreeHandle(CONNECTION, connection)
    if message:
        raise ConnectionError(message)


def diagnostics(connection):
    """All messages of a handle."""
    messages = []
    while True:
        state, native, length = ctypes.create_string_buffer(12), ctypes.c_int(), ctypes.c_short()
        text = ctypes.create_string_buffer(8192)
        result = driver.SQLGetDiagRecW(
            CONNECTION, connection, len(messages) + 1, state, ctypes.byref(native), text, 4096, ctypes.byref(length)
        )
        if result not in (0, 1):
            return "; ".join(messages) or "no message"
        messages.append(text.raw[: 2 * length.value].decode("utf-16-le"))


lines.serve(managed)
