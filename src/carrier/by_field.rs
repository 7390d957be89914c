/// The methods of a carrier whose headers are in one of its fields, which is a carrier itself. `describe` stays for the message.
///
/// With `or default` the field is an `Option`, and the first header makes it.
macro_rules! by_field {
    ($($field:ident).+) => {
        $crate::carrier::by_field! { reading and removing $($field).+ }

        fn set(&mut self, key: &str, value: String) -> bool {
            $crate::carrier::Carrier::set(&mut self.$($field).+, key, value)
        }

        fn room(&self, key: &str) -> usize {
            $crate::carrier::Carrier::room(&self.$($field).+, key)
        }

        fn spelling<'k>(&self, key: &'k str) -> std::borrow::Cow<'k, str> {
            $crate::carrier::Carrier::spelling(&self.$($field).+, key)
        }
    };
    ($($field:ident).+ or default) => {
        $crate::carrier::by_field! { reading and removing $($field).+ }

        fn set(&mut self, key: &str, value: String) -> bool {
            $crate::carrier::Carrier::set(self.$($field).+.get_or_insert_default(), key, value)
        }
    };
    (reading and removing $($field:ident).+) => {
        fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
            $crate::carrier::Carrier::get_all(&self.$($field).+, key)
        }

        fn keys(&self) -> impl Iterator<Item = &str> {
            $crate::carrier::Carrier::keys(&self.$($field).+)
        }

        fn remove(&mut self, key: &str) {
            $crate::carrier::Carrier::remove(&mut self.$($field).+, key);
        }
    };
}

pub(crate) use by_field;
