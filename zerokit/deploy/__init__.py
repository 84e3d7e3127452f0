"""From a folder to a Space that runs: what is checked, planned, done, waited for and asked, in this order.

preflight   the folder, the account and the Space as they are: may this work at all?
plan        what differs from the Space, as steps in words
upload      the steps, done one by one
wait        until the Space runs, with its build log
smoke       one call, as a visitor's program would make it
status      how a Space is now
"""
