"""The way of a file, stage by stage; each stage is a module.

dispatch   asks for lanes (queue tasks) wherever an active run needs hands
scan       lists the source, writes Files and Versions, finds what vanished
plan       wanted − present: which Copies to make (pure)
lease      a lane's claim on a batch of Versions; expires by itself
lane       keeps many files in flight; renews, settles, parks, ends
transfer   reads one Version once and feeds every destination from its spool
spool      parts between reader and writers, in memory and bounded temporary disk
settle     commits Copies, Versions, Attempts and counters in batches
verify     reads stored Copies back and compares
runs       begins, pauses, retries and ends runs; record writes Events and live progress
"""
