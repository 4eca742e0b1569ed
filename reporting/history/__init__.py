"""History that never happened: a year of believable calls, to try reports and to measure them.

`wish` says how much, `people` sets up who works there, `day` plays one day, `rows` writes it down
as the product would have, `chain` keeps each agent's intervals and periods, `making` brings it into
the database by COPY. The same seed gives the same history.
"""
