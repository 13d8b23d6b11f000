"""The demonstration city 望川市 (invented): its regions, departments, people and complaints, read and checked."""
