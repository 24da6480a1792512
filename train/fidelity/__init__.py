"""Do pictures follow their conditions?"""
