"""One page for every command: `page.Page` is what it holds and writes it as one file.

slices      slices of fields to move through; run_slices: those of a run
run_folder  what lies in the folder of a run; report: its page
verdict     the numbers in words; words: sentences that several pages share
"""
