"""Moto's server, which answers one request at a time: of several that create one object at once, it lets more than one
do so."""

import sys
import threading

from moto import server

answer, lock = server.DomainDispatcherApplication.__call__, threading.Lock()


def one_at_a_time(self, environ, start_response):
    with lock:
        return answer(self, environ, start_response)


server.DomainDispatcherApplication.__call__ = one_at_a_time
server.main(sys.argv[1:])
