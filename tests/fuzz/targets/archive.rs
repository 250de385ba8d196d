//! A relay's backup: damaged bytes are refused, whole ones come back as they were written.
#![no_main]

use subrosa_relay::admin::archive::{Reader, Record, Writer};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // With the right beginning, so that records are reached.
    read(&[b"subrosa relay backup/1\n", bytes].concat());
});

fn read(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let mut records = Vec::new();
    let whole = loop {
        match reader.record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    if whole || !records.iter().any(|record| matches!(record, Record::Blob { .. })) {
        let mut writer = Writer::new(Vec::new()).expect("memory");
        records.iter().for_each(|record| writer.record(record).expect("short enough"));
        let written = writer.end().expect("memory");
        let mut reader = Reader::new(written.as_slice()).expect("ours");
        for record in &records {
            assert_eq!(reader.record().expect("ours").as_ref(), Some(record));
        }
        assert!(matches!(reader.record(), Ok(None)));
        if whole {
            assert_eq!(written, bytes);
        }
    }
}
