"""An example of a plug-in of truez: a method of reconstruction and a catalogue format."""
