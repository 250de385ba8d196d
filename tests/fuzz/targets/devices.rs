//! A foreign list of devices: verified as it was signed, or refused.
#![no_main]

use std::sync::LazyLock;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::devices::{DEVICES_MAX, DeviceList, Version};
use subrosa_shared::session::Identity;
use vary::{choose, vary};

/// Ada's list: one device, two, and the second alone.
static CHAIN: LazyLock<(AccountName, Vec<Version>, Vec<u8>)> = LazyLock::new(|| {
    let name = AccountName::parse("ada").expect("valid");
    let [desk, laptop] = [1, 2].map(|seed| Identity::from_seed(&[seed; 64]));
    let mut chain = vec![desk.begins(&name)];
    let list = DeviceList::begin(&chain[0]).expect("a list");
    chain.push(desk.adds(&list, &laptop.cert()).expect("room for it"));
    let list = list.next(&chain[1]).expect("signed");
    chain.push(laptop.removes(&list, &desk.device()).expect("there"));
    let bytes = postcard::to_stdvec(&chain).expect("plain");
    (name, chain, bytes)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 2) else { return };
    let (name, chain, bytes) = &*CHAIN;
    let bytes = if choice == 0 { vary(bytes, data) } else { data.to_vec() };
    let Ok(said) = postcard::from_bytes::<Vec<Version>>(&bytes) else { return };
    if let Ok(list) = DeviceList::verify(name, &said) {
        assert!(list.certs().len() <= DEVICES_MAX);
        // Nobody here can sign another.
        assert!(chain.starts_with(&said));
        assert_eq!(said.last().map(Version::head), Some(list.head()));
    }
});
