CREATE TABLE old_rows AS SELECT id, md5(id::text) AS text,
	CASE WHEN id % 100 = 0 THEN (SELECT string_agg(md5((id * i)::text), '') FROM generate_series(1, 300) AS i) END AS big
	FROM generate_series(1, 30000) AS id;
ALTER TABLE old_rows ADD PRIMARY KEY (id);
CREATE INDEX ON old_rows (text);
SELECT lo_from_bytea(4242, convert_to(string_agg(md5(i::text), ''), 'SQL_ASCII')) FROM generate_series(1, 20000) AS i;
CREATE TABLE numbers (number integer, part integer);
CREATE INDEX ON numbers (number);
